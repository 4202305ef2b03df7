"""Values that fields of bodies accept, and their representation."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from shared import field_types
from shared.schemas import RequestBody, all_or_none, only_with, unchanged


def shown(type_: object, value: object) -> object:
    adapter = TypeAdapter(type_)
    return adapter.dump_python(adapter.validate_python(value), mode="json")


UP_TO_NINE = Annotated[int, Field(ge=1, le=9), field_types.INTEGRAL]


@pytest.mark.parametrize(
    ("type_", "given", "expected"),
    [
        (field_types.SafeInteger, 42, 42),
        (UP_TO_NINE, 9.0, 9),
        (field_types.SafeIntegerInQuery, "42", 42),
        (field_types.DecimalNumber, "12.5000", "12.5"),
        (field_types.DecimalNumber, "1200", "1200"),
        (field_types.DecimalNumber, Decimal("1E+3"), "1000"),
        (field_types.DecimalNumber, "-0.0001", "-0.0001"),
        (field_types.MoneyAmount, "12.5", "12.50"),
        (field_types.CalendarDate, "2026-07-01", "2026-07-01"),
        (field_types.Timestamp, "2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00Z"),
        (field_types.Timestamp, datetime(2026, 7, 1, 10, tzinfo=UTC), "2026-07-01T10:00:00Z"),
        (field_types.CurrencyCode, "EUR", "EUR"),
        (field_types.MailAddress, "Ada@EXAMPLE.com", "Ada@example.com"),
        (field_types.WebAddress, "https://example.com/a?b=c", "https://example.com/a?b=c"),
    ],
)
def test_what_is_stored_is_shown_in_one_form(type_, given, expected):
    assert shown(type_, given) == expected
    assert shown(type_, expected) == expected


@pytest.mark.parametrize(
    ("type_", "given", "expected"),
    [
        (
            field_types.ShortText,
            "Zoe\u0308 \u200c👨\u200d👩 \U0001faea",
            "Zo\u00eb \u200c👨\u200d👩 \U0001faea",
        ),
        (field_types.ShortText, "e\u0301" * 200, "\u00e9" * 200),
        (field_types.LongText, "one\r\n\ttwo \u2067גד\u2069", "one\r\n\ttwo \u2067גד\u2069"),
    ],
)
def test_text_is_composed_before_it_is_measured(type_, given, expected):
    assert TypeAdapter(type_).validate_python(given) == expected


ODD = (
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2016-12-31T23:59:60Z",
    "9999999999-01-01T00:00:00Z",
    "2026-02-31T00:00:00Z",
    "2026-01-01T00:00:00+99:99",
    "2026-02-31",
    "0000-01-01",
    "\u0661",
    "9" * 5000,
    "NaN",
    "sNaN",
    "1E+400",
    float("nan"),
    2**70,
    [],
    None,
    b"\xff",
    "a@" + "b" * 300,
    "a@[::1]",
    "https://[",
    "https://\x00",
    "http://xn--" + "9" * 70,
    "\ud800",
)


@pytest.mark.parametrize(
    "type_",
    [
        field_types.SafeInteger,
        field_types.SafeIntegerInQuery,
        field_types.CalendarDate,
        field_types.Timestamp,
        field_types.DecimalNumber,
        field_types.MoneyAmount,
        field_types.CurrencyCode,
        field_types.MailAddress,
        field_types.WebAddress,
    ],
)
@pytest.mark.parametrize("given", ODD, ids=lambda given: repr(given)[:30])
def test_no_type_fails_otherwise_than_by_refusing(type_, given):
    with pytest.raises(ValidationError):
        TypeAdapter(type_).validate_python(given)


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        (field_types.ShortText, ""),
        (field_types.ShortText, "x" * 201),
        (field_types.ShortText, "\u200d"),
        (field_types.ShortText, "a\nb"),
        (field_types.ShortText, "a\u202eb"),
        (field_types.ShortText, "\ufb2c" * 100),
        (field_types.LongText, "a\x1bb"),
        (field_types.LongText, "x" * 20_001),
        (field_types.SafeInteger, 2**53),
        (field_types.SafeInteger, -(2**53)),
        (field_types.SafeInteger, True),
        (UP_TO_NINE, True),
        (UP_TO_NINE, 8.5),
        (UP_TO_NINE, "9"),
        (UP_TO_NINE, 10),
        (field_types.SafeInteger, "42"),
        (field_types.SafeIntegerInQuery, str(2**53)),
        (field_types.SafeIntegerInQuery, "1_0"),
        (field_types.DecimalNumber, "0.00001"),
        (field_types.DecimalNumber, "1e18"),
        (field_types.DecimalNumber, "1e3"),
        (field_types.DecimalNumber, 12.5),
        (field_types.DecimalNumber, "NaN"),
        (field_types.CalendarDate, "0"),
        (field_types.CalendarDate, 0),
        (field_types.CalendarDate, "2026-02-30"),
        (field_types.Timestamp, "0"),
        (field_types.Timestamp, "2026-07-01T12:00:00"),
        (field_types.MoneyAmount, 12.5),
        (field_types.MoneyAmount, "0.001"),
        (field_types.CurrencyCode, "euro"),
        (field_types.MailAddress, "nobody"),
        (field_types.WebAddress, "javascript:alert(1)"),
    ],
)
def test_what_no_column_holds_is_refused(type_, given):
    with pytest.raises(ValidationError):
        TypeAdapter(type_).validate_python(given)


def test_a_number_is_narrowed_and_the_document_says_so():
    narrow = TypeAdapter(Annotated[field_types.SafeInteger, Field(ge=1, le=9)])
    said = narrow.json_schema()
    assert (said["minimum"], said["maximum"]) == (1, 9)
    assert not said.keys() & {"ge", "le"}
    assert TypeAdapter(UP_TO_NINE).json_schema() == {"type": "integer", "minimum": 1, "maximum": 9}
    price = TypeAdapter(Annotated[field_types.MoneyAmount, field_types.at_least(0)])
    assert price.validate_python("0") == 0
    assert price.json_schema()["type"] == "string"
    for adapter, given in ((narrow, 0), (narrow, 10), (price, "-0.01")):
        with pytest.raises(ValidationError):
            adapter.validate_python(given)


def test_a_field_that_may_be_absent_may_still_not_be_null():
    class Change(RequestBody):
        name: str = unchanged()

    assert Change().model_dump(exclude_unset=True) == {}
    assert issubclass(Change, BaseModel)
    with pytest.raises(ValidationError):
        Change.model_validate({"name": None})
    assert Change.model_json_schema().get("required", []) == []


class Priced(RequestBody):
    amount: str | None = None
    currency: str | None = None

    _price = all_or_none("amount", "currency")


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({}, None),
        ({"amount": "1", "currency": "EUR"}, None),
        ({"amount": None, "currency": None}, None),
        ({"amount": "1"}, "currency"),
        ({"currency": "EUR"}, "amount"),
        ({"amount": None}, "currency"),
        ({"amount": None, "currency": "EUR"}, "amount"),
    ],
)
def test_what_belongs_together_is_sent_together(given, refused):
    assert field_refused(Priced, given) == refused


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({}, None),
        ({"currency": "EUR"}, None),
        ({"amount_from": "1", "currency": "EUR"}, None),
        ({"amount_from": "1"}, "currency"),
        ({"amount_to": "1"}, "currency"),
    ],
)
def test_what_means_nothing_alone_is_refused_alone(given, refused):
    class Wanted(BaseModel):
        amount_from: str | None = None
        amount_to: str | None = None
        currency: str | None = None

        _price = only_with("currency", "amount_from", "amount_to")

    assert field_refused(Wanted, given) == refused


def field_refused(model: type[BaseModel], given: dict[str, object]) -> str | None:
    """Return the name of the one field that is refused."""
    try:
        model.model_validate(given)
    except ValidationError as error:
        (problem,) = error.errors()
        assert problem["type"] == "value_error"
        return str(problem["loc"][0])
    return None
