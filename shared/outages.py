"""The many ways in which a database can be away, as one error."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.errors import DatabaseUnavailable

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)

_AWAY = ("08", "57P", "53300")
"""SQLSTATE: a connection failed; it shuts down, starts up or has crashed; it has too many connections already."""


@contextmanager
def unreachable_translated() -> Iterator[None]:
    """Turn the many ways in which a database can be away into `DatabaseUnavailable`."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        raise DatabaseUnavailable from error
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error.orig, UNREACHABLE) or _says_it_is_away(error):
            raise DatabaseUnavailable from error
        raise
    except UNREACHABLE as error:
        raise DatabaseUnavailable from error


def _says_it_is_away(error: DBAPIError) -> bool:
    """Whether PostgreSQL itself refuses for now. SQLAlchemy wraps some of these so that only their code is left."""
    return str(getattr(error.orig, "sqlstate", None)).startswith(_AWAY)
