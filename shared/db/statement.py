"""SQLModel statements compiled once, at import, to the SQL and the converters that asyncpg needs.

Building and compiling a statement costs more than running it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json
from sqlalchemy import (
    ARRAY,
    JSON,
    BindParameter,
    CompoundSelect,
    Delete,
    Insert,
    Numeric,
    Select,
    Update,
    bindparam,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.types import TypeEngine

from shared.schemas import validator_of

Clause = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]] | Insert | Update | Delete
RowT = TypeVar("RowT", bound=BaseModel)
ResultT = TypeVar("ResultT")
Converter = Callable[[Any], Any]
_DIALECT: Any = asyncpg_dialect()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
_MARK = "@"


def param(name: str, type_: Any = None) -> BindParameter[Any]:
    """Return a value of a statement that is given when it runs.

    `col(User.id) == param("user_id")`. Unlike SQLAlchemy's `bindparam` it may have the name of a column:
    `update(User).values(name=param("name"))`. A list needs its type: `any_(param("ids", ARRAY(Uuid)))`.
    """
    return bindparam(f"{_MARK}{name}", type_=type_)


def _name_of(bind: BindParameter[Any]) -> str:
    """Return the name of a value. A constant, as in `values(kind=None)`, is not a parameter of that name."""
    return bind.key.removeprefix(_MARK) if bind.required else f"={bind.key}"


@dataclass(frozen=True, slots=True)
class Execution(Generic[ResultT]):
    """SQL, which method of asyncpg runs it, and what makes the result of its answer."""

    sql: str
    how: Literal["fetch", "fetchrow", "execute"]
    decode: Callable[[Any], ResultT]
    changes: bool
    may_be_stale: bool


class Compiled:
    """A statement as SQL, with the converters of its parameters and columns.

    `changes`: whether it writes. `may_be_stale`: a replica may answer it.
    """

    def __init__(self, clause: Clause, *, changes: bool = False, may_be_stale: bool = False) -> None:
        compiled = clause.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        if "__[POSTCOMPILE" in self.sql:
            message = "in_() can't be compiled ahead; write `column == any_(param(..., ARRAY(...)))`"
            raise TypeError(message)
        made_in_python = [*compiled.insert_prefetch, *compiled.update_prefetch]
        if made_in_python:
            names = ", ".join(column.name for column in made_in_python)
            message = f"a compiled statement can't make the Python defaults of {names}; give them values"
            raise TypeError(message)
        self.changes = changes or not isinstance(clause, Select | CompoundSelect)
        self.locks = isinstance(clause, Select) and " FOR UPDATE" in self.sql
        self.may_be_stale = may_be_stale
        self.columns = {column.key: column.type for column in getattr(clause, "exported_columns", ())}
        binds = [compiled.binds[name] for name in compiled.positiontup or ()]
        self.names = tuple(map(_name_of, binds))
        """In the order of `$1, $2, ...`."""

        self.required = frozenset(_name_of(bind) for bind in binds if bind.required)
        self.defaults = {_name_of(bind): bind.effective_value for bind in binds if not bind.required}
        self.converters = _converters(((_name_of(bind), bind.type) for bind in binds), "bind_processor")
        self._results = _converters(self.columns.items(), "result_processor")

    def execution(
        self, how: Literal["fetch", "fetchrow", "execute"], decode: Callable[[Any], ResultT]
    ) -> Execution[ResultT]:
        """Return how it is run, for one kind of answer."""
        return Execution(self.sql, how, decode, self.changes, self.may_be_stale)

    def values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Convert one asyncpg record."""
        values = dict(record)
        for name, convert in self._results.items():
            values[name] = convert(values[name])
        return values

    def only_value(self, record: Sequence[Any]) -> Any:
        """Convert the only column of a record, which may have no name."""
        (value,) = record
        for convert in self._results.values():
            return convert(value)
        return value


class Statement(Compiled, Generic[RowT]):
    """A statement that is put together at run time, whose rows become `into` (a model with the columns' names).

    A repository's own statements are methods instead: `shared/db/query.py`.
    """

    def __init__(
        self, clause: Clause, into: type[RowT], *, changes: bool = False, may_be_stale: bool = False
    ) -> None:
        if not hasattr(into, "model_fields"):
            message = f"rows become a pydantic model with a field for each column (a `Row`), not {into!r}"
            raise TypeError(message)
        super().__init__(clause, changes=changes, may_be_stale=may_be_stale)
        self._all = frozenset(self.names)
        self._validate = validator_of(into)
        self.first = self.execution("fetchrow", first_of(self.row))
        self.all = self.execution("fetch", all_of(self.row))
        self.count = self.execution("execute", rows_changed)

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Refuse a missing or a misspelt parameter, which would silently become NULL or be ignored."""
        given = parameters.keys()
        if given != self._all and not (self.required <= given <= self._all):
            message = f"the statement takes {sorted(self.names)}, it was given {sorted(parameters)}"
            raise TypeError(message)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of `$1, $2, ...`, converted as SQLAlchemy would (JSON, enums)."""
        self.check(parameters)
        values = {**self.defaults, **parameters}
        for name, convert in self.converters.items():
            values[name] = convert(values[name])
        return [values[name] for name in self.names]

    def row(self, record: Mapping[str, Any]) -> RowT:
        """Make the model of one asyncpg record."""
        return self._validate(self.values(record))


class Nothing(BaseModel):
    """The row of a statement that returns none."""


def first_of(convert: Callable[[Any], ResultT]) -> Callable[[Any], ResultT | None]:
    """Return what makes a result of the first record, or None of none."""
    return lambda record: None if record is None else convert(record)


def all_of(convert: Callable[[Any], ResultT]) -> Callable[[Any], list[ResultT]]:
    """Return what makes a list of results of all records."""
    return lambda records: [convert(record) for record in records]


def rows_changed(status: str) -> int:
    """Return the number at the end of PostgreSQL's `UPDATE 3` or `INSERT 0 1`."""
    return int(status.rsplit(" ", 1)[-1])


def _converters(columns: Iterable[tuple[str, TypeEngine[Any]]], kind: str) -> dict[str, Converter]:
    found: dict[str, Converter] = {}
    for name, type_ in columns:
        if kind == "result_processor" and isinstance(type_, JSON):
            found[name] = _from_json
            continue
        if kind == "result_processor" and isinstance(type_, Numeric):
            continue  # asyncpg reads numeric as Decimal; SQLAlchemy would ask for a type that only a result has
        if kind == "result_processor" and _comes_as_it_is(type_):
            continue
        implementation: Any = type_.dialect_impl(_DIALECT)
        arguments = (_DIALECT,) if kind == "bind_processor" else (_DIALECT, None)
        convert = getattr(implementation, kind)(*arguments)
        if convert is not None:
            found[name] = convert
    return found


def _comes_as_it_is(type_: TypeEngine[Any]) -> bool:
    """Whether it is a list whose parts need no conversion: SQLAlchemy would look at each of them all the same."""
    if not isinstance(type_, ARRAY):
        return False
    part: Any = type_.item_type.dialect_impl(_DIALECT)
    return part.result_processor(_DIALECT, None) is None


def _from_json(value: str | None) -> Any:
    """SQLAlchemy leaves this to a codec that it would set on its connections."""
    return None if value is None else from_json(value)
