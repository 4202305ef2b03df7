"""The many ways in which a database can be away, refuse, or be busy, as one error each."""

from collections.abc import Iterator
from types import TracebackType

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.errors import DatabaseBusy, DatabaseUnavailable, Outage
from shared.logging import get_logger
from shared.throttled_warnings import ThrottledWarnings

logger = get_logger(__name__)
_LONGEST_REASON = 300

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says when the server's last words came between two statements
)

_OUTAGES = {
    "08": Outage.DOWN,  # a connection failed
    "25006": Outage.READ_ONLY,
    "25P03": Outage.DOWN,  # it ended a transaction that did nothing for too long, or took too long
    "25P04": Outage.DOWN,
    "28": Outage.REFUSED,  # wrong password, no such role, none of its addresses
    "3D000": Outage.NO_DATABASE,
    "42501": Outage.NO_RIGHTS,
    "53100": Outage.DISK_FULL,
    "53": Outage.EXHAUSTED,  # memory, connections
    "57P": Outage.DOWN,  # it shuts down, starts up, has crashed, or the database was dropped
    "58": Outage.DOWN,  # its disk fails
}
"""What PostgreSQL says by SQLSTATE or its beginning; the longer one counts."""

_UNDEFINED = frozenset({"42P01", "42703", "3F000", "42883", "42704", "42P10"})
"""SQLSTATE: no such table, column, schema, function, object; no unique index that a conflict names."""

_OF_STATEMENTS = ("0A", "21", "22", "23", "42")
"""Classes of SQLSTATE: not supported, too many rows, values, constraints, syntax."""

_BUSY = frozenset({"40P01", "40001", "55P03"})
"""SQLSTATE: deadlock detected, serialization failure, lock not available."""

_warnings = {outage: ThrottledWarnings(logger) for outage in Outage}
"""One for each, so that none hides another."""


class NotConnected(ConnectionError):
    """PostgreSQL refused a new connection, for a reason that is none of the usual ones."""


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
    """Raise DatabaseUnavailable or DatabaseBusy if that is what the error means; otherwise return.

    The log has one line a minute about each outage, however many requests meet it.
    """
    if isinstance(error, DatabaseUnavailable):
        return
    if sqlstate_of(error) in _BUSY:
        raise DatabaseBusy from error
    outage = outage_of(error)
    if outage is not None:
        raise unavailable(outage, error) from error


def unavailable(outage: Outage, error: BaseException) -> DatabaseUnavailable:
    """Return the error, and have the log say why."""
    _warnings[outage].warn(
        "database_unavailable", outage=outage.value, sqlstate=sqlstate_of(error), reason=reason_of(error)
    )
    return DatabaseUnavailable(outage)


def reason_of(error: BaseException) -> str:
    """Return what PostgreSQL or the system says, in one line.

    Not the text of SQLAlchemy, which has the statement and its parameters, nor the details, which have values.
    """
    *_, first = _causes(error)
    said = str(getattr(first, "message", None) or first) or type(first).__name__
    return " ".join(said.split())[:_LONGEST_REASON]


def outage_of(error: BaseException) -> Outage | None:
    """Return the outage that an error means; None if the error is about the statement."""
    if isinstance(error, DatabaseUnavailable):
        return error.outage
    state = sqlstate_of(error) or ""
    for length in (5, 3, 2):
        if outage := _OUTAGES.get(state[:length]):
            return outage
    return Outage.DOWN if _is_unreachable(error) else None


def is_undefined_object(error: BaseException) -> bool:
    """Whether a statement names a missing table or column; perhaps the database was not migrated."""
    return sqlstate_of(error) in _UNDEFINED


def is_about_statement(error: BaseException) -> bool:
    """Tell whether an error is none of the database as a whole: the program, or what it was given, is wrong.

    A statement that names what isn't there is not about the statement alone: perhaps nothing was migrated.
    """
    state = sqlstate_of(error)
    if outage_of(error) is not None or state in _UNDEFINED:
        return False
    return state is None or state.startswith(_OF_STATEMENTS)


def sqlstate_of(error: BaseException) -> str | None:
    """Return what PostgreSQL calls an error; None if the error is none of PostgreSQL's."""
    return next(
        (state for each in _causes(error) if isinstance(state := getattr(each, "sqlstate", None), str)), None
    )


def _is_unreachable(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        is_so = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return is_so or isinstance(error.orig, UNREACHABLE)
    return isinstance(error, (PoolTimeoutError, *UNREACHABLE))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and what SQLAlchemy or this module has wrapped in it."""
    yield error
    inner: BaseException | None = error.orig if isinstance(error, DBAPIError) else None
    # SQLAlchemy has a class of its own for each error of the driver, with a `pgcode`.
    if isinstance(error, DatabaseUnavailable | NotConnected) or hasattr(error, "pgcode"):
        inner = error.__cause__
    if inner is not None:
        yield from _causes(inner)
