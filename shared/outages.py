"""The many ways in which a database can be away or busy, as one error each."""

from collections.abc import Iterator
from types import TracebackType

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.errors import DatabaseBusy, DatabaseUnavailable

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says when the server's last words came between two statements
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)

_AWAY = ("08", "57P", "53300")
"""SQLSTATE: a connection failed; it shuts down, starts up or has crashed; it has too many connections already."""


_BUSY = frozenset({"40P01", "40001", "55P03"})
"""SQLSTATE: deadlock detected, serialization failure, lock not available."""


class unreachable_translated:  # noqa: N801  # reads as what it does
    """Turn the many ways in which a database can be away into `DatabaseUnavailable`."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Translate what was raised."""
        if isinstance(error, Exception):
            raise_outage(error)


def raise_outage(error: BaseException) -> None:
    """Raise DatabaseUnavailable or DatabaseBusy if that is what the error means; otherwise return."""
    if says_busy(error):
        raise DatabaseBusy from error
    if says_unreachable(error):
        raise DatabaseUnavailable from error


def says_busy(error: BaseException) -> bool:
    """Whether PostgreSQL gave up a statement because of another transaction; nothing of its own was kept."""
    return any(str(getattr(each, "sqlstate", None)) in _BUSY for each in _causes(error))


def says_unreachable(error: BaseException) -> bool:
    """Whether an error means that the database is away."""
    if isinstance(error, DBAPIError):
        is_so = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return is_so or isinstance(error.orig, UNREACHABLE) or _says_it_is_away(error)
    return isinstance(error, (PoolTimeoutError, *UNREACHABLE))


def _says_it_is_away(error: DBAPIError) -> bool:
    """Whether PostgreSQL itself refuses for now. SQLAlchemy wraps some of these so that only their code is left."""
    return str(getattr(error.orig, "sqlstate", None)).startswith(_AWAY)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and what SQLAlchemy has wrapped in it."""
    yield error
    if isinstance(error, DBAPIError) and error.orig is not None:
        yield error.orig
        if error.orig.__cause__ is not None:
            yield error.orig.__cause__
