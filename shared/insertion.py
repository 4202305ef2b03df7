"""Inserting a table's row with a statement compiled once: a session's unit of work costs ten times the insert."""

from functools import cache
from typing import Any

from sqlalchemy import Table, bindparam, insert, inspect
from sqlmodel import SQLModel

from shared.statements import Nothing, Statement


@cache
def insertion(table: type[SQLModel], given: frozenset[str]) -> Statement[Nothing]:
    """Return the statement that inserts a row with values for these attributes; the database makes the others."""
    columns = _columns(table)
    values = {columns[name]: bindparam(f"new_{name}", type_=columns[name].type) for name in sorted(given)}
    target: Table = inspect(table).local_table
    return Statement(insert(target).values(values), Nothing)


def values_of(model: SQLModel) -> dict[str, Any]:
    """Return the values to insert. What is None and has a default in the database is left to it."""
    columns = _columns(type(model))
    found = {name: getattr(model, name) for name in columns}
    return {
        name: value
        for name, value in found.items()
        if columns[name].computed is None and (value is not None or columns[name].server_default is None)
    }


@cache
def _columns(table: type[SQLModel]) -> dict[str, Any]:
    return {attribute.key: attribute.columns[0] for attribute in inspect(table).column_attrs}
