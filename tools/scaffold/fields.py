"""The grammar of fields: `number:str:unique`, `state:enum(open,paid)`, `customer:ref:users:optional`."""

import builtins
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.db.models import RevisedTable
from shared.schemas import RequestBody, StoredBody
from tools.scaffold.kinds import KINDS, MONEY, TYPES, Kind
from tools.scaffold.names import DomainName, camel, words

OPTIONS = ("unique", "optional", "index")
OWN = {"id", "owner_id", "created_at", "updated_at", "checked_at", "revision"}
TAKEN = {"limit", "cursor", "sort", "include_total", "date", "datetime", "registry", "self"}
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 40
LONGEST_CHOICE = 32
"""Characters of an enum's value: the column has no more."""


class FieldRefused(Exception):
    """A field is invalid; the text says why."""


_NO_UNIQUE = {"text", "bool", "json", "money"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the new table.

    `domain`: the name of the new one; `choices`: the values of an enum; `reference`: the domain whose thing it names;
    `money`: the field of which it is the amount or the currency.
    """

    name: str
    kind: Kind
    domain: DomainName
    options: frozenset[str] = field(default_factory=frozenset)
    choices: tuple[str, ...] = ()
    reference: str = ""
    money: str = ""

    @property
    def optional(self) -> bool:
        """Whether it may be empty."""
        return "optional" in self.options

    @property
    def ref_name(self) -> str:
        """`customer` of `customer_id`."""
        return self.name.removesuffix("_id") if self.reference else self.name

    @property
    def words(self) -> str:
        """The name as people write it."""
        return words(self.ref_name)

    @property
    def cls(self) -> str:
        """The beginning of the names of its errors."""
        return camel(self.ref_name)

    @property
    def model(self) -> str:
        """Its Python type."""
        return f"{self.domain.cls}{self.cls}" if self.choices else self.kind.model

    @property
    def body(self) -> str:
        """Its type in bodies."""
        return self.model if self.choices else self.kind.body

    @property
    def model_default(self) -> str:
        """What follows the type in the table."""
        if self.choices:
            return f" = choice({self.model}{', nullable=True' if self.optional else ''})"
        maker = self.kind.column_if_optional if self.optional else self.kind.column
        return f" = {maker}" if maker else " = None" if self.optional else ""

    @property
    def alias(self) -> str:
        """The name of its type in bodies."""
        return f"{camel(self.name)}Field"

    @property
    def example(self) -> str:
        """An expression, where the type alone has no telling example."""
        return self.kind.example.replace("{label}", self.words.capitalize())

    @property
    def sample(self) -> str:
        """An expression for tests: the value that a client sends; `number` makes it distinct."""
        if self.choices:
            return f'["{self.choices[0]}", "{self.choices[-1]}"][number % 2]'
        return self.kind.sample.replace("{label}", self.words)


def columns_of(
    given: Sequence[str], domain: DomainName, reference: Callable[[str, str], Kind]
) -> list[Column]:
    """Read the fields.

    Args:
        given: as typed, `number:str:unique`.
        domain: the name of the new one.
        reference: returns what a reference to a domain becomes, or refuses: field name, domain.

    Raises:
        FieldRefused: a sentence about the first one that can't be understood.
    """
    columns = [column for text in given for column in _read(text, domain, reference)]
    _check_columns(columns)
    return columns


def _check_columns(columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise FieldRefused(f"Two fields are called {name}.")
    filters: dict[str, Column] = {}
    for name, column in filters_of(columns):
        first = filters.setdefault(name, column)
        if first is not column:
            raise FieldRefused(f"{first.name} and {column.name} would both be the filter {name}.")


def _read(text: str, domain: DomainName, reference: Callable[[str, str], Kind]) -> list[Column]:
    name, *rest = re.split(r":(?![^(]*\))", text)
    if not rest:
        raise FieldRefused(
            f"{text} has no type. Write name:type, as in number:str; types are {', '.join(TYPES)}."
        )
    _check_name(name)
    type_, *options = rest
    target = "files" if type_ == "file" else ""
    if type_ == "ref":
        if not options or options[0] in OPTIONS:
            raise FieldRefused(f"{text} does not name the referenced domain. Write {name}:ref:users.")
        target, *options = options
    chosen = _options(text, type_, options)
    if target:
        columns = [Column(f"{name}_id", reference(name, target), domain, chosen, reference=target)]
    else:
        columns = _columns(text, name, type_, domain, chosen)
    for column in columns:
        _check_column(name, column.name)
    return columns


def _options(text: str, type_: str, options: Sequence[str]) -> frozenset[str]:
    unknown = [option for option in options if option not in OPTIONS]
    if unknown:
        raise FieldRefused(f"{text}: {unknown[0]} is not an option; there are {', '.join(OPTIONS)}.")
    if "unique" in options and (type_ in _NO_UNIQUE):
        raise FieldRefused(f"{text}: a {type_} can't be unique.")
    return frozenset(options)


def _columns(text: str, name: str, type_: str, domain: DomainName, chosen: frozenset[str]) -> list[Column]:
    if type_ == "money":
        amount, currency = MONEY
        return [
            Column(f"{name}_amount", amount, domain, chosen, money=name),
            Column(f"{name}_currency", currency, domain, chosen - {"index"}, money=name),
        ]
    if type_.startswith("enum"):
        return [Column(name, Kind("", "", ""), domain, chosen, choices=_choices(text, type_))]
    if type_ not in KINDS:
        raise FieldRefused(f"{text}: {type_} is not a type; there are {', '.join(TYPES)}.")
    return [Column(name, KINDS[type_], domain, chosen)]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise FieldRefused(
            f"{name} is not a field name: use small letters, digits and single underscores, as in due_on."
        )
    if keyword.iskeyword(name):
        raise FieldRefused(f"{name} is a word of Python; call the field otherwise.")
    if name in OWN:
        raise FieldRefused(f"{name} exists already: every domain has it.")
    if _means_something_else(name):
        raise FieldRefused(f"{name} means something else here; call the field otherwise.")
    if hasattr(builtins, name) and name not in {"type", "format", "range", "hash", "filter"}:
        raise FieldRefused(f"{name} is a name that Python has built in; call the field otherwise.")


def _check_column(name: str, column: str) -> None:
    """Refuse a field whose type makes another name of its own: `owner:ref:users` would be set by clients."""
    if column in OWN:
        raise FieldRefused(
            f"{name} would be the column {column}, which every domain has; call the field otherwise, as in recipient."
        )
    if _means_something_else(column):
        raise FieldRefused(
            f"{name} would be the column {column}, which means something else here; call the field otherwise."
        )


def _means_something_else(name: str) -> bool:
    is_inherited = any(hasattr(base, name) for base in (RevisedTable, StoredBody, RequestBody))
    return is_inherited or name.startswith("model_") or name in TAKEN


def _choices(text: str, type_: str) -> tuple[str, ...]:
    found = re.fullmatch(r"enum\(([^)]*)\)", type_)
    choices = tuple(part.strip() for part in found[1].split(",")) if found else ()
    if len(choices) < 2 or len(set(choices)) < len(choices):  # noqa: PLR2004  # a choice is between two
        raise FieldRefused(f"{text}: write two or more values, each once, as in enum(open,paid).")
    for choice in choices:
        if keyword.iskeyword(choice):
            raise FieldRefused(f"{text}: {choice} is a word of Python; call the value otherwise.")
        if not _NAME.fullmatch(choice) or len(choice) > LONGEST_CHOICE:
            raise FieldRefused(
                f"{text}: {choice or 'nothing'} is not a valid value: use small letters, digits and underscores, at"
                f" most"
                f" {LONGEST_CHOICE}."
            )
    return choices


def filters_of(columns: Sequence[Column]) -> list[tuple[str, Column]]:
    """Return the filters of a list and their columns: equality, and `_from` and `_to` for ordered types."""
    found: list[tuple[str, Column]] = []
    for column in columns:
        if column.kind.ranged:
            found += [(f"{column.name}{suffix}", column) for suffix in ("_from", "_to")]
        elif column.choices or column.kind.filtered:
            found.append((column.name, column))
    return found
