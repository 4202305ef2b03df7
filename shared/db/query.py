"""SQLModel statements compiled once, at import, to the SQL and the converters that asyncpg needs.

Building and compiling a statement costs more than running it; so repositories write theirs at module level.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json
from sqlalchemy import ARRAY, JSON, Delete, Insert, Numeric, Select, Update
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.types import TypeEngine

from shared.schemas import validator_of

Clause = Select[*tuple[Any, ...]] | Insert | Update | Delete
RowT = TypeVar("RowT", bound=BaseModel)
_Converter = Callable[[Any], Any]
_DIALECT: Any = asyncpg_dialect()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy


class Statement(Generic[RowT]):
    """One statement with named `bindparam`s, whose rows become `into` (a pydantic model with the columns' names).

    `changes`: whether it writes; to be said of a SELECT that calls a function which does.
    `may_be_stale`: the answer may be some seconds old, so that a replica can give it.
    `in_()` can't be compiled ahead: write `column == any_(bindparam("ids", type_=ARRAY(Uuid)))`.
    """

    def __init__(
        self, clause: Clause, into: type[RowT], *, changes: bool = False, may_be_stale: bool = False
    ) -> None:
        if not hasattr(into, "model_fields"):
            message = f"rows become a pydantic model with a field for each column (a `Row`), not {into!r}"
            raise TypeError(message)
        self.clause = clause
        self.may_be_stale = may_be_stale
        self.into = into
        self.changes = changes or not isinstance(clause, Select)
        compiled = clause.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        if "__[POSTCOMPILE" in self.sql:
            message = (
                "in_() can't be compiled ahead; write `column == any_(bindparam(..., type_=ARRAY(...)))`"
            )
            raise TypeError(message)
        made_in_python = [*compiled.insert_prefetch, *compiled.update_prefetch]
        if made_in_python:
            names = ", ".join(column.name for column in made_in_python)
            message = f"a compiled statement can't make the Python defaults of {names}; give them values"
            raise TypeError(message)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._defaults: Mapping[str, Any] = compiled.params
        self._required = {name for name, bind in compiled.binds.items() if bind.required}
        self._all = frozenset(self._names)
        self._binds = _converters(
            ((name, compiled.binds[name].type) for name in self._names), "bind_processor"
        )
        self._validate = validator_of(into)
        columns = getattr(clause, "exported_columns", ())
        self._results = _converters(((column.key, column.type) for column in columns), "result_processor")

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Refuse a missing or a misspelt parameter, which would silently become NULL or be ignored."""
        given = parameters.keys()
        if given != self._all and not (self._required <= given <= self._all):
            message = f"the statement takes {sorted(self._names)}, it was given {sorted(parameters)}"
            raise TypeError(message)

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order of `$1, $2, ...`, converted as SQLAlchemy would (JSON, enums)."""
        self.check(parameters)
        values = {**self._defaults, **parameters}
        for name, convert in self._binds.items():
            values[name] = convert(values[name])
        return [values[name] for name in self._names]

    def row(self, record: Mapping[str, Any], *, json_is_read: bool = False) -> RowT:
        """Convert one asyncpg record. `json_is_read`: by a codec, which SQLAlchemy sets on its connections."""
        values = dict(record)
        for name, convert in self._results.items():
            if convert is not _from_json or not json_is_read:
                values[name] = convert(values[name])
        return self._validate(values)


class Nothing(BaseModel):
    """The row of a statement that returns none."""


def _converters(columns: Iterable[tuple[str, TypeEngine[Any]]], kind: str) -> dict[str, _Converter]:
    found: dict[str, _Converter] = {}
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
    """SQLAlchemy leaves this to a codec that it sets on its connections; those that only read have none."""
    return None if value is None else from_json(value)
