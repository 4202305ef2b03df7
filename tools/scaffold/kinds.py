"""The types of fields of a new domain, and what each becomes in its code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What one type becomes: in the table, in bodies, in a test; whether lists can be sorted and filtered by it."""

    model: str
    body: str
    sample: str
    column: str = ""
    column_if_optional: str = ""
    sortable: bool = False
    filtered: bool = True
    ranged: bool = False
    example: str = ""


KINDS = {
    "str": Kind("str", "ShortText", 'f"{label}-{number}"', sortable=True, example='"{label} 1"'),
    "text": Kind(
        "str", "LongText", 'f"{label} {number}"', filtered=False, example='"{label} of several lines"'
    ),
    "int": Kind("int", "SafeInteger", "number", "bigint()", "bigint(nullable=True)", sortable=True),
    "decimal": Kind(
        "Decimal",
        "DecimalNumber",
        'f"{number}.5"',
        "decimal()",
        "decimal(nullable=True)",
        sortable=True,
        ranged=True,
    ),
    "bool": Kind("bool", "StrictBool", "bool(number % 2)"),
    "date": Kind(
        "date",
        "CalendarDate",
        'f"2026-07-{number % 28 + 1:02}"',
        sortable=True,
        ranged=True,
        example='"2026-07-01"',
    ),
    "datetime": Kind(
        "datetime",
        "Timestamp",
        'f"2026-07-{number % 28 + 1:02}T10:00:00Z"',
        "timestamp()",
        "timestamp(nullable=True)",
        sortable=True,
        ranged=True,
    ),
    "uuid": Kind("UUID", "UUID", "str(UUID(int=number))"),
    "json": Kind(
        "dict[str, Any]",
        "JsonObject",
        '{"number": number}',
        "jsonb()",
        "jsonb(nullable=True)",
        filtered=False,
        example='{"color": "red"}',
    ),
    "email": Kind("str", "MailAddress", 'f"someone-{number}@example.com"'),
    "url": Kind("str", "WebAddress", 'f"https://example.com/{number}"', filtered=False),
}
MONEY = (
    Kind(
        "Decimal",
        "MoneyAmount",
        'f"{number}.50"',
        "decimal(places=2)",
        "decimal(places=2, nullable=True)",
        ranged=True,
    ),
    Kind("str", "CurrencyCode", '"EUR"'),
)
TYPES = (*KINDS, "enum(a,b)", "money", "file", "ref:<domain>")
FIELD_TYPES = {kind.body for kind in (*KINDS.values(), *MONEY)} - {"StrictBool", "UUID"} | {
    "SafeIntegerInQuery"
}
"""Those that are in `shared.field_types`."""
