"""Base of tables: names of constraints that migrations can rely on, and columns that every domain needs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sqlalchemy import BigInteger, DateTime, Enum, MetaData, Numeric, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from shared.field_types import DECIMAL_DIGITS, DECIMAL_PLACES
from shared.ids import new_id

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)
E_ = TypeVar("E_", bound=StrEnum)


class Table(SQLModel):
    """Base of every table: `class File(Table, table=True)` with `__table_args__ = (..., {"schema": "files"})`."""

    metadata = metadata

    def __init__(self, **values: Any) -> None:
        """Make a row of its attributes; the others get their defaults. As in SQLModel nothing is validated.

        SQLModel asks for each attribute how its default is made and tells SQLAlchemy of each, which costs five times
        the insert. Of a new row SQLAlchemy only looks at what is there.

        Raises:
            TypeError: the table has no such attribute.
        """
        plan = _plan_of(type(self))
        if not plan.names.issuperset(values):
            message = f"{type(self).__name__} has no {', '.join(sorted(values.keys() - plan.names))}"
            raise TypeError(message)
        own = self.__dict__
        own.update(plan.defaults)
        for name, make in plan.factories:
            if name not in values:
                own[name] = make()
        own.update(values)
        object.__setattr__(self, "__pydantic_fields_set__", set(values))
        object.__setattr__(self, "__pydantic_extra__", None)
        object.__setattr__(self, "__pydantic_private__", None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Columns of a new row that the caller does not set."""

    names: frozenset[str]
    defaults: Mapping[str, Any]
    factories: Sequence[tuple[str, Callable[[], Any]]]


@cache
def _plan_of(table: type[Table]) -> _Plan:
    fields = table.model_fields
    plain = {name: field.default for name, field in fields.items() if not field.default_factory}
    return _Plan(
        names=frozenset(fields),
        defaults={name: value for name, value in plain.items() if value is not PydanticUndefined},
        factories=[
            (name, cast("Callable[[], Any]", field.default_factory))
            for name, field in fields.items()
            if field.default_factory
        ],
    )


def timestamp(*, nullable: bool = False, default_now: bool = False, index: bool = False) -> Any:
    """Return a column for a moment in time, with its zone; `default_now`: filled by the database's clock."""
    server_default = {"server_default": func.now()} if default_now else {}
    return Field(
        default=None,
        sa_type=DateTime(timezone=True),
        nullable=nullable,
        index=index,
        sa_column_kwargs=server_default,
    )


def bigint(*, nullable: bool = False) -> Any:
    """Return a column for a whole number of 64 bits."""
    return Field(default=None, sa_type=BigInteger, nullable=nullable)


def decimal(*, places: int = DECIMAL_PLACES, nullable: bool = False) -> Any:
    """Return a column for a decimal number."""
    return Field(default=None, sa_type=Numeric(DECIMAL_DIGITS, places), nullable=nullable)


def choice(values: type[E_], default: E_ | None = None, *, nullable: bool = False) -> Any:
    """Return a text column for a StrEnum's values: unlike a native enum it grows without a migration."""
    type_ = Enum(
        values, native_enum=False, length=32, values_callable=lambda v: [member.value for member in v]
    )
    return Field(default=default, sa_type=type_, nullable=nullable)


def jsonb(*, nullable: bool = False, default: Any = dict) -> Any:
    """Return a JSONB column."""
    if nullable:
        return Field(default=None, sa_type=JSONB(none_as_null=True), nullable=True)
    return Field(default_factory=default, sa_type=JSONB, nullable=False)


def is_same(one: Any, other: Any) -> bool:
    """Whether both are one value. Python takes `true` for `1`, deep inside of documents too; JSON doesn't."""
    if one != other:
        return False
    return not isinstance(one, dict | list) or json.dumps(one, sort_keys=True) == json.dumps(
        other, sort_keys=True
    )


class RevisedTable(Table):
    """Base of a table whose rows have a revision that each write raises; its bodies are `RevisedBody`s."""

    id: UUID = Field(default_factory=new_id, primary_key=True)
    created_at: datetime = timestamp()
    updated_at: datetime = timestamp()
    revision: int = 1

    def differences(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the values that it doesn't have yet."""
        return {name: value for name, value in values.items() if not is_same(getattr(self, name), value)}

    def change(self, values: dict[str, Any], now: datetime) -> None:
        """Take over new values, if there are any."""
        values = self.differences(values)
        if not values:
            return
        self.sqlmodel_update(values)
        self.updated_at = now
        self.revision += 1


class OwnedTable(RevisedTable):
    """Base of such a table whose rows have an owner."""

    owner_id: UUID


def columns(table: type[SQLModel], row: type[BaseModel]) -> list[Any]:
    """Return the table's columns that a row model names: `select(*columns(User, UserRow))`."""
    return [getattr(table, name) for name in row.model_fields]
