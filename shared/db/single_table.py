"""What domains with one table repeat: its rows are found, listed, written and locked one by one.

`OwnedRepository` does all of it in an owner's name, `CommonRepository` for everybody. A domain's repository says which
`TableStatements` are its own, and adds what only it asks.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import eq, ge, le
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import bindparam, delete, select
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from shared.db.conflicts import Conflicts
from shared.db.models import OwnedTable, RevisedTable, columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.errors import NotFound
from shared.schemas import StoredBody

TableT = TypeVar("TableT", bound=RevisedTable)
OwnedT = TypeVar("OwnedT", bound=OwnedTable)
BodyT = TypeVar("BodyT", bound=StoredBody)
FoundT = TypeVar("FoundT")
_NONE: Conflicts = MappingProxyType({})


def conditions(table: type[RevisedTable], wanted: type[BaseModel]) -> dict[str, ColumnElement[bool]]:
    """Return the conditions of a list, of the fields of its filter that are named after columns.

    `rank` is what the column must be, `rank_from` the least and `rank_to` the greatest. Add others with `|`.
    """
    found: dict[str, ColumnElement[bool]] = {}
    for name in wanted.model_fields:
        for ending, compared in (("_from", ge), ("_to", le), ("", eq)):
            column = name.removesuffix(ending)
            if name.endswith(ending) and column in table.model_fields:
                found[name] = compared(getattr(table, column), bindparam(name))
    return found


class TableStatements(Generic[TableT, BodyT]):
    """The statements about one table. Of an `OwnedTable`, rows are changed, deleted and purged by their owner alone.

    Each is compiled when it is first needed: a start waits for none of them, however many domains there are.

    Args:
        table: the rows.
        body: what is read of them.
        missing: raised for a row that isn't there, or is another owner's.
        taken: the error of each unique index, by the index's name.
        sorts: the columns that lists are sorted by, none of which may be null.
        filters: as in `Listing`.
        readable: which rows of an `OwnedTable` a caller finds and lists (`_owner`: the caller); by default their own.
            It widens or narrows nothing else: what is shared with somebody is not purged with them, and what is
            hidden from an owner is.
        may_be_stale: lists may be some seconds old, so that a replica can answer.
    """

    def __init__(
        self,
        table: type[TableT],
        body: type[BodyT],
        *,
        missing: type[NotFound],
        taken: Conflicts = _NONE,
        sorts: Sequence[str],
        filters: Mapping[str, ColumnElement[bool]],
        readable: ColumnElement[bool] | None = None,
        may_be_stale: bool = False,
    ) -> None:
        self.table, self.body = table, body
        self.missing, self.taken = missing, taken
        self.readable = readable
        self.sorts, self.filters = sorts, filters
        self.may_be_stale = may_be_stale

    @property
    def of_owner(self) -> ColumnElement[bool]:
        """The condition that a row is `_owner`'s. Raises TypeError: rows of this table have no owner."""
        if not issubclass(self.table, OwnedTable):
            message = f"rows of {self.table.__name__} belong to no owner"
            raise TypeError(message)
        return col(self.table.owner_id) == bindparam("_owner")

    @cached_property
    def listing(self) -> Listing[BodyT]:
        """The statements that read pages: `_owner`, of an `OwnedTable`."""
        return Listing(
            select(*columns(self.table, self.body)).where(*self._found()),
            self.body,
            key=col(self.table.id),
            sorts={name: getattr(self.table, name) for name in self.sorts},
            filters=self.filters,
            may_be_stale=self.may_be_stale,
        )

    @cached_property
    def find(self) -> Statement[BodyT]:
        """The statement that reads one row: `row_id`, and `_owner` of an `OwnedTable`."""
        row_id = col(self.table.id) == bindparam("row_id")
        return Statement(select(*columns(self.table, self.body)).where(row_id, *self._found()), self.body)

    @cached_property
    def purge(self) -> Statement[Nothing]:
        """The statement that deletes all rows of an owner, and no others: `_owner`. Raises TypeError as `of_owner`."""
        return Statement(delete(self.table).where(self.of_owner), Nothing)

    def _found(self) -> list[ColumnElement[bool]]:
        if self.readable is not None:
            return [self.readable]
        return [self.of_owner] if issubclass(self.table, OwnedTable) else []


class _Writing(Repository, Generic[TableT, BodyT]):
    """What needs no owner, because the row was found already."""

    statements: TableStatements[TableT, BodyT]

    def __init_subclass__(cls, **options: Any) -> None:
        """Make `insert` and `save` raise the errors in `taken`."""
        super().__init_subclass__(**options)
        if "statements" in cls.__dict__:
            cls.conflicts = cls.statements.taken

    def _there(self, found: FoundT | None) -> FoundT:
        if found is None:
            raise self.statements.missing
        return found


class OwnedRepository(_Writing[OwnedT, BodyT]):
    """Rows that belong to owners: rows of other owners are not found."""

    async def find(self, row_id: UUID, owner_id: UUID) -> BodyT | None:
        """Return a row of this owner."""
        return await self.database.fetch_one(self.statements.find, row_id=row_id, _owner=owner_id)

    async def read(self, row_id: UUID, owner_id: UUID) -> BodyT:
        """Return a row of this owner. Raises `missing`."""
        return self._there(await self.find(row_id, owner_id))

    async def page(self, owner_id: UUID, request: PageRequest, wanted: BaseModel) -> Page[BodyT]:
        """Return a page of this owner's rows."""
        return await self.fetch_page(self.statements.listing, request, wanted.model_dump(), _owner=owner_id)

    async def find_locked(self, row_id: UUID, owner_id: UUID) -> OwnedT | None:
        """Return a row of this owner that the open transaction is going to change. Raises PreconditionFailed."""
        found = await self.lock_row(self.statements.table, row_id)
        return check_precondition(found) if found is not None and found.owner_id == owner_id else None

    async def lock(self, row_id: UUID, owner_id: UUID) -> OwnedT:
        """Return a row of this owner that is going to be changed and saved. Raises `missing`, PreconditionFailed."""
        return self._there(await self.find_locked(row_id, owner_id))

    async def purge(self, owner_id: UUID) -> None:
        """Delete all rows of an owner."""
        await self.database.execute(self.statements.purge, _owner=owner_id)


class CommonRepository(_Writing[TableT, BodyT]):
    """Rows without an owner."""

    async def find(self, row_id: UUID) -> BodyT | None:
        """Return a row."""
        return await self.database.fetch_one(self.statements.find, row_id=row_id)

    async def read(self, row_id: UUID) -> BodyT:
        """Return a row. Raises `missing`."""
        return self._there(await self.find(row_id))

    async def page(self, request: PageRequest, wanted: BaseModel) -> Page[BodyT]:
        """Return a page of all rows."""
        return await self.fetch_page(self.statements.listing, request, wanted.model_dump())

    async def find_locked(self, row_id: UUID) -> TableT | None:
        """Return a row that the open transaction is going to change and save. Raises PreconditionFailed."""
        found = await self.lock_row(self.statements.table, row_id)
        return None if found is None else check_precondition(found)

    async def lock(self, row_id: UUID) -> TableT:
        """Return a row that is going to be changed and saved. Raises `missing`, PreconditionFailed."""
        return self._there(await self.find_locked(row_id))
