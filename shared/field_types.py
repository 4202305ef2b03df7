"""Types of fields in bodies: each rejects values that its column can't hold, and returns values as stored."""

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    TypeAdapter,
)
from pydantic_core import PydanticKnownError

from shared.mail_addresses import MAX_ADDRESS, read_address
from shared.schemas import UtcDatetime
from shared.text import LINE, PARAGRAPHS, composed_within

DECIMAL_DIGITS, DECIMAL_PLACES, MONEY_PLACES = 18, 4, 2
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}"
_TIMESTAMP = rf"{_DATE}[Tt ]{_TIME}:[0-9]{{2}}(\.[0-9]+)?([Zz]|[+-]{_TIME})"
_WHOLE = re.compile("-?[0-9]+")
_URL = TypeAdapter(AnyHttpUrl)


def plain_number(number: Decimal) -> str:
    """Format a number without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _pattern(places: int) -> str:
    return rf"^-?[0-9]{{1,{DECIMAL_DIGITS - places}}}(\.[0-9]{{1,{places}}})?$"


def _digits_of(places: int) -> str:
    return f", with at most {DECIMAL_DIGITS - places} digits before the point and {places} behind it"


def _written(pattern: str, kind: type, example: str, more: str = "") -> Callable[[Any], Any]:
    """Return a validator for texts of this form and values of rows: pydantic alone reads `"0"` as a day of 1970."""
    form = re.compile(pattern)

    def check(value: Any) -> Any:
        if isinstance(value, kind) or (isinstance(value, str) and form.fullmatch(value)):
            return value
        message = f'must be a string like "{example}"{more}'
        raise ValueError(message)

    return check


def _shown_as(pattern: str) -> Callable[[dict[str, Any]], None]:
    """Return what describes a number as a text of this form, where pydantic says that a number would do too."""

    def describe(schema: dict[str, Any]) -> None:
        schema.pop("anyOf", None)
        schema.update(type="string", pattern=pattern)

    return describe


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        message = "must be a whole number"
        raise ValueError(message)
    return value


def _integral(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("int_type")
    return value


INTEGRAL = BeforeValidator(_integral)
"""Behind `Annotated[int, Field(ge=..., le=...)]`: takes all that JSON Schema calls an integer, also `42.0`; no text."""


def at_least(least: int | str) -> AfterValidator:
    """Narrow a decimal number or an amount: written behind its type in `Annotated`.

    A pattern can't say it, and `Field(ge=0)` would say it of a number, which the text isn't.
    """

    def check(number: Decimal) -> Decimal:
        if number < Decimal(least):
            message = f"must be at least {least}"
            raise ValueError(message)
        return number

    return AfterValidator(check)


def _with_cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-MONEY_PLACES))


def _web_address(text: str) -> str:
    _URL.validate_python(text)
    return text


def _mail_address(text: str) -> str:
    return read_address(text).normalized


ShortText = Annotated[str, Field(min_length=1, max_length=200), composed_within(200), LINE]
"""One line; `shared.text` says which characters it may hold."""
LongText = Annotated[str, Field(max_length=20_000), composed_within(20_000), PARAGRAPHS]
_SafeInteger = Annotated[int, Field(ge=-(2**53 - 1), le=2**53 - 1, examples=[42])]
DIGITS = BeforeValidator(_digits)
"""Behind `Annotated[int, Query(...)]`: pydantic alone takes `1_0`, `1.0` and ` 10` too."""
SafeIntegerInQuery = Annotated[_SafeInteger, DIGITS]
"""As `SafeInteger`, where everything is a text: for filters."""
SafeInteger = Annotated[_SafeInteger, Strict()]
"""What every reader of JSON keeps exactly (RFC 7493, section 2.2). A narrower one: `Field(ge=1, le=9)` behind it."""
CalendarDate = Annotated[date, BeforeValidator(_written(_DATE, date, "2026-07-01"))]
"""A day (RFC 3339, full-date)."""
Timestamp = Annotated[UtcDatetime, BeforeValidator(_written(_TIMESTAMP, datetime, "2026-07-01T10:00:00Z"))]
"""A moment with its zone (RFC 3339, date-time)."""
DecimalNumber = Annotated[
    Decimal,
    PlainSerializer(plain_number, return_type=str, when_used="json"),
    Field(
        max_digits=DECIMAL_DIGITS,
        decimal_places=DECIMAL_PLACES,
        examples=["12.5"],
        json_schema_extra=_shown_as(_pattern(DECIMAL_PLACES)),
    ),
    BeforeValidator(_written(_pattern(DECIMAL_PLACES), Decimal, "12.5", _digits_of(DECIMAL_PLACES))),
]
"""A decimal number, as a string: JSON's numbers would lose digits."""
MoneyAmount = Annotated[
    Decimal,
    Field(
        max_digits=DECIMAL_DIGITS,
        decimal_places=MONEY_PLACES,
        examples=["12.50"],
        json_schema_extra=_shown_as(_pattern(MONEY_PLACES)),
    ),
    BeforeValidator(_written(_pattern(MONEY_PLACES), Decimal, "12.50", _digits_of(MONEY_PLACES))),
    AfterValidator(_with_cents),
]
CurrencyCode = Annotated[
    str, Field(pattern="^[A-Z]{3}$", description="A code as in ISO 4217.", examples=["EUR"])
]
MailAddress = Annotated[
    str,
    Field(max_length=MAX_ADDRESS, examples=["ada@example.com"], json_schema_extra={"format": "email"}),
    AfterValidator(_mail_address),
]
WebAddress = Annotated[
    str,
    Field(max_length=2048, examples=["https://example.com/"], json_schema_extra={"format": "uri"}),
    AfterValidator(_web_address),
]
JsonObject = dict[str, Any]
