"""Base of repositories: the only place with SQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from shared.database import Database, require_transaction
from shared.errors import AppError
from shared.insertion import insertion, values_of
from shared.pagination import Listing, Page, PageRequest
from shared.statements import RowT

ModelT = TypeVar("ModelT", bound=SQLModel)


class Repository:
    """Reads with compiled statements (`self.database`), writes through the open transaction's session."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, model: ModelT) -> ModelT:
        """Insert a row in the open transaction, at once, so that a collision is met here.

        Later changes of the model are not written: it is not part of the session.
        """
        require_transaction()
        values = values_of(model)
        parameters = {f"new_{name}": value for name, value in values.items()}
        await self.database.execute(insertion(type(model), frozenset(values)), **parameters)
        return model

    async def page(
        self,
        listing: Listing[RowT],
        request: PageRequest,
        /,
        filters: Mapping[str, Any],
        *,
        flags: Sequence[str] = (),
        **parameters: Any,
    ) -> Page[RowT]:
        """Return one page; a filter whose value is None is absent. `flags` are filters that take no value."""
        given = {name: value for name, value in filters.items() if value is not None}
        present = frozenset({*given, *flags})
        values = {**given, **parameters}
        rows = await self.database.fetch_all(
            listing.statement(present, request), **values, **listing.position(request)
        )
        total = None
        if request.include_total:
            counted = await self.database.fetch_one(listing.total(present), **values)
            total = counted.total if counted else 0
        return listing.page(rows, request, total)


@contextmanager
def conflicts_translated(errors: Mapping[str, type[AppError]]) -> Iterator[None]:
    """Raise the domain's own error for a violated constraint, given by the constraint's name."""
    try:
        yield
    except (IntegrityError, asyncpg.IntegrityConstraintViolationError) as error:
        known = errors.get(constraint_of(error) or "")
        if known is None:
            raise
        raise known from error


def constraint_of(error: BaseException) -> str | None:
    """Return the name of the constraint that was violated."""
    cause: BaseException | None = error.orig if isinstance(error, IntegrityError) else error
    while cause is not None:
        name = getattr(cause, "constraint_name", None)
        if name:
            return str(name)
        cause = cause.__cause__
    return None
