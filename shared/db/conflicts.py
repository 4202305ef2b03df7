"""Violated constraints, as the errors that a domain has for them."""

from collections.abc import Mapping
from types import TracebackType

import asyncpg

from shared.errors import AppError

Conflicts = Mapping[str, type[AppError]]
"""The error of each constraint, by the constraint's name."""


class conflicts_translated:  # noqa: N801  # reads as what it does
    """Raise the domain's own error for a violated constraint."""

    __slots__ = ("_errors",)

    def __init__(self, errors: Conflicts) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Translate the raised exception."""
        if isinstance(error, asyncpg.IntegrityConstraintViolationError):
            known = self._errors.get(error.constraint_name or "")
            if known is not None:
                raise known from error
