"""Types of fields in bodies: each refuses what its column can't hold, and is shown as it was stored."""

from decimal import Decimal
from typing import Annotated, Any

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, AnyHttpUrl, Field, PlainSerializer, TypeAdapter

EXACT_DIGITS, EXACT_PLACES, MONEY_PLACES = 18, 4, 2
_URL = TypeAdapter(AnyHttpUrl)


def plain_number(number: Decimal) -> str:
    """Return a number without an exponent and without zeros that say nothing."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _with_cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-MONEY_PLACES))


def _web_address(text: str) -> str:
    _URL.validate_python(text)
    return text


def _mail_address(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False, allow_smtputf8=False).normalized
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


ShortText = Annotated[str, Field(min_length=1, max_length=200)]
LongText = Annotated[str, Field(max_length=20_000)]
WholeNumber = Annotated[int, Field(ge=-(2**53 - 1), le=2**53 - 1, examples=[42])]
"""What every reader of JSON keeps exactly (RFC 7493, section 2.2)."""
ExactNumber = Annotated[
    Decimal,
    Field(max_digits=EXACT_DIGITS, decimal_places=EXACT_PLACES, examples=["12.5"]),
    PlainSerializer(plain_number, return_type=str, when_used="json"),
]
"""A decimal number, in answers a string: JSON's numbers would lose digits."""
MoneyAmount = Annotated[
    Decimal,
    Field(max_digits=EXACT_DIGITS, decimal_places=MONEY_PLACES, examples=["12.50"]),
    AfterValidator(_with_cents),
]
CurrencyCode = Annotated[
    str, Field(pattern="^[A-Z]{3}$", description="A code as in ISO 4217.", examples=["EUR"])
]
MailAddress = Annotated[
    str,
    Field(max_length=254, examples=["ada@example.com"], json_schema_extra={"format": "email"}),
    AfterValidator(_mail_address),
]
WebAddress = Annotated[
    str,
    Field(max_length=2048, examples=["https://example.com/"], json_schema_extra={"format": "uri"}),
    AfterValidator(_web_address),
]
JsonObject = dict[str, Any]
