"""Base of repositories: the only place with SQL."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import asyncpg
from sqlalchemy import Tuple, select
from sqlmodel import SQLModel

from shared.db.conflicts import Conflicts, conflicts_translated
from shared.db.database import Database
from shared.db.pagination import BadCursor, Listing, Page, PageRequest
from shared.db.pool import Connection
from shared.db.row_statements import (
    changing,
    deletion,
    insertion,
    key_of,
    key_parameters,
    locking,
    values_to_insert,
)
from shared.db.statement import RowT
from shared.db.transaction import require_transaction

ModelT = TypeVar("ModelT", bound=SQLModel)


def unlocked(key: Any, *conditions: Any) -> Any:
    """Return the condition that a sweep deletes by: rows that match and that no transaction has locked.

    A sweep meets rows in any order. It takes what it needs not wait for, so it can't be part of a deadlock; the next
    one takes the rest. `key`: the table's primary key, or its columns as `tuple_(...)`.
    """
    columns = key.clauses if isinstance(key, Tuple) else [key]
    return key.in_(select(*columns).where(*conditions).with_for_update(skip_locked=True))


class Repository:
    """The queries of a domain, and its rows: inserted, locked, changed by their own methods and saved, or deleted."""

    conflicts: ClassVar[Conflicts] = MappingProxyType({})
    """The error of each constraint that an inserted or saved row may violate, by the constraint's name."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def insert(self, row: ModelT) -> ModelT:
        """Insert a row in the open transaction, before its next statement or its end: a collision is met there."""
        values = values_to_insert(row)
        statement = insertion(type(row), frozenset(values))
        arguments = statement.arguments(values)
        conflicts = self.conflicts

        async def run(connection: Connection) -> None:
            with conflicts_translated(conflicts):
                await connection.execute(statement.sql, *arguments)

        transaction = require_transaction()
        transaction.rows.add(row)
        await transaction.insert(run)
        return row

    async def insert_all(self, rows: Sequence[SQLModel]) -> None:
        """Insert several rows of one table in the open transaction, in one round trip."""
        values = [values_to_insert(row) for row in rows]
        if not rows:
            return
        statement = insertion(type(rows[0]), frozenset(values[0]))
        transaction = require_transaction()
        for row in rows:
            transaction.rows.add(row)
        connection = await transaction.connection()
        with conflicts_translated(self.conflicts):
            await connection.executemany(statement.sql, [statement.arguments(each) for each in values])

    async def insert_unless(self, row: SQLModel, *taken: str) -> None:
        """Insert a row, or nothing if another one has the same values in the columns `taken`, which are unique."""
        values = values_to_insert(row)
        statement = insertion(type(row), frozenset(values), unless=taken)
        await self.database.execute(statement, **values)

    async def lock_row(self, table: type[ModelT], *key: Any) -> ModelT | None:
        """Return the row with this primary key, locked until the open transaction ends, to be changed and saved."""
        transaction = require_transaction()
        row = await self.database.fetch_one(locking(table), **key_parameters(table, key))
        return None if row is None else transaction.rows.add(row)

    async def save(self, row: SQLModel) -> None:
        """Write what has changed of a row that the open transaction has locked or inserted.

        Raises:
            UnsavedChange: it has done neither.
        """
        rows, table = require_transaction().rows, type(row)
        changes = rows.changes_of(row)
        if not changes:
            return
        key = key_parameters(table, key_of(row))
        with conflicts_translated(self.conflicts):
            await self.database.execute(changing(table, frozenset(changes)), **changes, **key)
        rows.saved(row)

    async def delete(self, row: SQLModel) -> None:
        """Delete a row in the open transaction."""
        table = type(row)
        key = key_parameters(table, key_of(row))
        await self.database.execute(deletion(table), **key)
        require_transaction().rows.forget(row)

    async def fetch_page(
        self,
        listing: Listing[RowT],
        request: PageRequest,
        /,
        filters: Mapping[str, Any],
        *,
        flags: Sequence[str] = (),
        **parameters: Any,
    ) -> Page[RowT]:
        """Return one page; a filter whose value is None is absent. `flags` are filters that take no value.

        Raises:
            BadCursor: the cursor belongs to another list, or is invented and holds a value that the database can't.
        """
        given = {name: value for name, value in filters.items() if value is not None}
        present = frozenset({*given, *flags})
        values = {**given, **parameters}
        statement, position = listing.statement(present, request), listing.position(request)
        try:
            rows = await self.database.fetch_all(statement, **values, **position)
        except asyncpg.DataError as error:
            if request.cursor is None:
                raise
            raise BadCursor from error
        total = None
        if request.include_total:
            counted = await self.database.fetch_one(listing.total(present), **values)
            total = counted.total if counted else 0
        return listing.page(rows, request, total)
