"""Inserting a table's row with a statement compiled once: a session's unit of work costs ten times the insert."""

from functools import cache
from typing import Any

from sqlalchemy import Table, bindparam, insert, inspect
from sqlmodel import SQLModel

from shared.db.statement import Nothing, Statement


@cache
def insertion(table: type[SQLModel], given: frozenset[str]) -> Statement[Nothing]:
    """Return the statement that inserts a row with values for these attributes; the database makes the others."""
    columns = _columns(table)
    values = {columns[name]: bindparam(f"new_{name}", type_=columns[name].type) for name in sorted(given)}
    target: Table = inspect(table).local_table
    return Statement(insert(target).values(values), Nothing)


def values_of(model: SQLModel) -> dict[str, Any]:
    """Return the values to insert. What is None and has a default in the database is left to it."""
    given = model.__dict__
    return {
        name: given[name]
        for name, has_default in _insertable(type(model)).items()
        if not has_default or given[name] is not None
    }


@cache
def _insertable(table: type[SQLModel]) -> dict[str, bool]:
    """Return the attributes that can be given, and whether the database has a default of each."""
    columns = _columns(table)
    return {
        name: column.server_default is not None for name, column in columns.items() if column.computed is None
    }


@cache
def _columns(table: type[SQLModel]) -> dict[str, Any]:
    return {attribute.key: attribute.columns[0] for attribute in inspect(table).column_attrs}
