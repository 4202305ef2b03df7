"""The many ways in which a database can be away, as one error."""

from types import TracebackType

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.errors import DatabaseUnavailable

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


class unreachable_translated:  # noqa: N801  # reads as what it does
    """Turn the many ways in which a database can be away into `DatabaseUnavailable`."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Translate what was raised."""
        if isinstance(error, Exception) and says_unreachable(error):
            raise DatabaseUnavailable from error


def says_unreachable(error: BaseException) -> bool:
    """Whether an error means that the database is away."""
    if isinstance(error, DBAPIError):
        is_so = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return is_so or isinstance(error.orig, UNREACHABLE) or _says_it_is_away(error)
    return isinstance(error, (PoolTimeoutError, *UNREACHABLE))


def _says_it_is_away(error: DBAPIError) -> bool:
    """Whether PostgreSQL itself refuses for now. SQLAlchemy wraps some of these so that only their code is left."""
    return str(getattr(error.orig, "sqlstate", None)).startswith(_AWAY)
