"""Statements that insert, lock, update and delete a table's rows, each compiled when it is first needed, then kept."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Column, Table, delete, inspect, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import SQLModel

from shared.db.statement import Nothing, Statement, param

ModelT = TypeVar("ModelT", bound=SQLModel)


@cache
def columns_of(table: type[SQLModel]) -> dict[str, Column[Any]]:
    """Return the columns by the names of their attributes."""
    return {attribute.key: attribute.columns[0] for attribute in inspect(table).column_attrs}


@cache
def key_names(table: type[SQLModel]) -> tuple[str, ...]:
    """Return the attributes of the primary key, in the order of its columns."""
    return tuple(name for name, column in columns_of(table).items() if column.primary_key)


@cache
def _insertable(table: type[SQLModel]) -> dict[str, bool]:
    """Return the attributes that can be given, and whether the database has a default of each."""
    columns = columns_of(table)
    return {
        name: column.server_default is not None for name, column in columns.items() if column.computed is None
    }


def values_to_insert(row: SQLModel) -> dict[str, Any]:
    """Return the values to insert. A column that is None and has a database default is omitted."""
    given = row.__dict__
    return {
        name: given[name]
        for name, has_default in _insertable(type(row)).items()
        if not has_default or given[name] is not None
    }


@cache
def insertion(
    table: type[SQLModel], given: frozenset[str], *, unless: tuple[str, ...] = ()
) -> Statement[Nothing]:
    """Return what inserts a row with values for these attributes; nothing, if the columns `unless` are taken."""
    clause = insert(_target(table)).values(_values(table, given))
    return Statement(clause.on_conflict_do_nothing(index_elements=unless) if unless else clause, Nothing)


@cache
def locking(table: type[ModelT]) -> Statement[ModelT]:
    """Return what reads and locks the row with a primary key."""
    return Statement(
        select(*(getattr(table, name) for name in columns_of(table)))
        .where(*_is_row(table))
        .with_for_update(),
        table,
    )


@cache
def changing(table: type[SQLModel], changed: frozenset[str]) -> Statement[Nothing]:
    """Return what sets these attributes of the row with a primary key."""
    return Statement(update(_target(table)).where(*_is_row(table)).values(_values(table, changed)), Nothing)


@cache
def deletion(table: type[SQLModel]) -> Statement[Nothing]:
    """Return what deletes the row with a primary key."""
    return Statement(delete(_target(table)).where(*_is_row(table)), Nothing)


def key_of(row: SQLModel) -> tuple[Any, ...]:
    """Return the values of the primary key."""
    return tuple(row.__dict__[name] for name in key_names(type(row)))


def key_parameters(table: type[SQLModel], key: tuple[Any, ...]) -> Mapping[str, Any]:
    """Return the parameters that name a row."""
    return {f"key_{name}": value for name, value in zip(key_names(table), key, strict=True)}


def _target(table: type[SQLModel]) -> Table:
    target: Table = inspect(table).local_table
    return target


def _values(table: type[SQLModel], names: frozenset[str]) -> dict[Any, Any]:
    columns = columns_of(table)
    return {columns[name]: param(name, columns[name].type) for name in sorted(names)}


def _is_row(table: type[SQLModel]) -> list[Any]:
    columns = columns_of(table)
    return [columns[name] == param(f"key_{name}", columns[name].type) for name in key_names(table)]
