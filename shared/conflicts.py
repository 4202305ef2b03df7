"""Violated constraints, as the errors that a domain has for them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import IntegrityError

from shared.errors import AppError

Conflicts = Mapping[str, type[AppError]]
"""The error of each constraint, by the constraint's name."""


@contextmanager
def conflicts_translated(errors: Conflicts) -> Iterator[None]:
    """Raise the domain's own error for a violated constraint."""
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
