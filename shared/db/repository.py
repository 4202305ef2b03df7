"""Base of repositories: the only place with SQL."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Tuple, select
from sqlmodel import SQLModel

from shared.db.conflicts import Conflicts
from shared.db.database import Database
from shared.db.insertion import insertion, values_of
from shared.db.pagination import BadCursor, Listing, Page, PageRequest
from shared.db.statement import RowT
from shared.db.transaction import Insertion, require_transaction

ModelT = TypeVar("ModelT", bound=SQLModel)
_NONE: Conflicts = MappingProxyType({})


def unlocked(key: Any, *conditions: Any) -> Any:
    """Return the condition that a sweep deletes by: rows that match and that no transaction has locked.

    A sweep meets rows in any order. It takes what it needs not wait for, so it can't be part of a deadlock; the next
    one takes the rest. `key`: the table's primary key, or its columns as `tuple_(...)`.
    """
    columns = key.clauses if isinstance(key, Tuple) else [key]
    return key.in_(select(*columns).where(*conditions).with_for_update(skip_locked=True))


class Repository:
    """Reads with compiled statements (`self.database`), writes through the open transaction's session."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, model: ModelT, *, conflicts: Conflicts = _NONE) -> ModelT:
        """Insert a row in the open transaction, before its next statement or its end.

        A collision is met there, and raised as `conflicts` has it. Later changes of the model are not written: it is
        not part of the session.
        """
        values = values_of(model)
        parameters = {f"new_{name}": value for name, value in values.items()}
        statement = insertion(type(model), frozenset(values))
        await require_transaction().insert(Insertion(statement, parameters, conflicts))
        return model

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
            BadCursor: it was not made by this list, or by nobody: then it may hold what the database can't.
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
