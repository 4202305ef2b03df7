"""The rows that a transaction has locked or inserted, so that an unsaved change is an error."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import ARRAY, JSON
from sqlmodel import SQLModel

from shared.db.row_statements import columns_of, key_of

ModelT = TypeVar("ModelT", bound=SQLModel)


class UnsavedChange(RuntimeError):
    """A programming error: a row was changed that the transaction has not saved, or can't save."""


class TrackedRows:
    """One object for each row, and the values that the database has for it."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], tuple[SQLModel, dict[str, Any]]] = {}

    def add(self, row: ModelT) -> ModelT:
        """Track a row that was just read or inserted. One that is tracked already takes over the new values.

        Raises:
            UnsavedChange: it has changes that were not saved.
        """
        key = _key_of(row)
        if key not in self._rows:
            self._rows[key] = (row, _values_of(row))
            return row
        known, values = self._rows[key]
        _refuse(known, _changes(known, values))
        for name in columns_of(type(row)):
            known.__dict__[name] = row.__dict__[name]
        self._rows[key] = (known, _values_of(known))
        return cast("ModelT", known)

    def changes_of(self, row: SQLModel) -> dict[str, Any]:
        """Return the values that the database doesn't have yet.

        Raises:
            UnsavedChange: the transaction has neither locked nor inserted this object.
        """
        for known, values in self._rows.values():
            if known is row:
                return _changes(row, values)
        message = f"{type(row).__name__} can't be saved: the open transaction has not locked it"
        raise UnsavedChange(message)

    def saved(self, row: SQLModel) -> None:
        """Note that the database has all values of a row."""
        self._rows[_key_of(row)] = (row, _values_of(row))

    def forget(self, row: SQLModel) -> None:
        """Stop to track a row that was deleted."""
        self._rows.pop(_key_of(row), None)

    def refuse_changes(self) -> None:
        """Raise UnsavedChange if a row has values that were not saved."""
        for row, values in self._rows.values():
            _refuse(row, _changes(row, values))


def _refuse(row: SQLModel, changes: Mapping[str, Any]) -> None:
    if changes:
        message = f"{type(row).__name__} was changed and not saved: {', '.join(sorted(changes))}"
        raise UnsavedChange(message)


def _key_of(row: SQLModel) -> tuple[Any, ...]:
    return (type(row), *key_of(row))


def _values_of(row: SQLModel) -> dict[str, Any]:
    """Return the values as they are now; JSON and arrays as text, because they can change in place."""
    own, table = row.__dict__, type(row)
    values = {name: own[name] for name in columns_of(table)}
    for name in _changeable_in_place(table):
        values[name] = _comparable(values[name])
    return values


def _changes(row: SQLModel, values: Mapping[str, Any]) -> dict[str, Any]:
    own = row.__dict__
    # Nearly all values are the same objects, and looking at their identity is the cheapest test.
    others = [name for name, value in values.items() if own[name] is not value]
    return {name: own[name] for name in others if _comparable(own[name]) != values[name]}


def _comparable(value: Any) -> Any:
    """Return JSON and arrays as text: Python takes `true` for `1`, deep inside of documents too; JSON doesn't."""
    return json.dumps(value, sort_keys=True, default=repr) if isinstance(value, dict | list) else value


@cache
def _changeable_in_place(table: type[SQLModel]) -> tuple[str, ...]:
    return tuple(name for name, column in columns_of(table).items() if isinstance(column.type, JSON | ARRAY))
