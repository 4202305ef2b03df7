"""PostgreSQL: transactions that services open, and reads that run a compiled statement in one round trip.

The open transaction lives in a ContextVar: repositories find it there, and nobody else commits.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel.ext.asyncio.session import AsyncSession

from shared.errors import DatabaseUnavailable
from shared.logging import get_logger
from shared.outages import UNREACHABLE, unreachable_translated
from shared.readers import Readers
from shared.replicas import PRIMARY_IS_AT, Replicas
from shared.statements import RowT, Statement
from shared.writers import Writer, Writers

logger = get_logger(__name__)

_UNNAMED: dict[str, Any] = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
"""For SQLAlchemy: prepare each statement anew, under no name."""


class TransactionFactory(Protocol):
    """What services are given: `async with self.transaction():`.

    Joins the open transaction, unless `own=True` asks for a separate one, for what must survive a failure.
    """

    def __call__(self, *, own: bool = False) -> AbstractAsyncContextManager[None]:
        """Open or join a transaction."""
        ...


@dataclass(slots=True)
class _Open:
    """The transaction that the present task has open, or will have with its first write (`united`)."""

    task: asyncio.Task[Any] | None
    writer: Writer | None = None
    united: bool = False
    begun: bool = False
    depth: int = 0
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    failed: bool = False


_open: ContextVar[_Open | None] = ContextVar("open_transaction", default=None)


class TransactionMisusedError(RuntimeError):
    """A programming error: a transaction used by another task, or committed after a part of it failed."""


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """How many connections a pool may open, has idle and in use, and how many tasks wait for one."""

    pool: str
    size: int
    idle: int
    in_use: int
    waiting: int


class Database:
    """Two pools on one PostgreSQL: an engine for transactions, and asyncpg alone for reads.

    `pool_size` is the number of connections of each; a pool that is empty for `timeout` seconds answers
    `DatabaseUnavailable`. `prepared=False` is for a pooler that gives each transaction another connection: nothing of a
    statement is kept on one. Statements that may be stale are read from a replica that is at most `replica_lag`
    seconds behind, if there is one.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 16,
        timeout: float = 10.0,
        prepared: bool = True,
        replica_urls: Sequence[str] = (),
        replica_lag: float = 2.0,
    ) -> None:
        self._url = url
        self._prepared = prepared
        self._replicas = Replicas(
            replica_urls,
            lag=replica_lag,
            size=pool_size,
            timeout=timeout,
            **self._options("tulou-replica-reads"),
        )
        self._pool_size = pool_size
        self._timeout = timeout
        self._engine: AsyncEngine | None = None
        self._writers: Writers | None = None
        self._readers: Readers[Any] | None = None

    async def start(self) -> None:
        """Make the pools. Connects lazily, so that a database that is down for now does not stop the program."""
        self._engine = create_async_engine(
            self._url.replace("postgresql://", "postgresql+asyncpg://", 1),
            poolclass=NullPool,
            connect_args={
                "timeout": self._timeout,
                **self._options("tulou"),
                **({} if self._prepared else _UNNAMED),
            },
        )
        self._writers = Writers(self._engine, size=self._pool_size, timeout=self._timeout)
        self._readers = Readers(
            self._url,
            size=self._pool_size,
            timeout=self._timeout,
            **self._options("tulou-reads"),
        )
        self._replicas.start(self._position)

    async def stop(self) -> None:
        """Close every connection."""
        self._replicas.stop()
        if self._readers is not None:
            await self._readers.stop()
        if self._writers is not None:
            await self._writers.stop()
        if self._engine is not None:
            await self._engine.dispose()

    def pools(self) -> list[PoolUsage]:
        """Return how busy the connections are."""
        pools = {"reads": self._readers, "transactions": self._writers}
        return [PoolUsage(name, *pool.usage()) for name, pool in pools.items() if pool is not None]

    @asynccontextmanager
    async def transaction(self, *, own: bool = False) -> AsyncIterator[None]:
        """Open a transaction, or join the open one; commit at the end of the outermost block.

        Raises:
            DatabaseUnavailable: PostgreSQL can't be reached; nothing was changed.
        """
        current = _mine()
        if current is not None and not own:
            async with self._joined(current):
                yield
            return
        async with self._opened(united=False):
            yield

    @asynccontextmanager
    async def united(self) -> AsyncIterator[None]:
        """Make all transactions of the present task one: begun by the first write, committed at the end of the block.

        Until then reads need no connection of it. `own=True` and other tasks stay apart. A part that fails is rolled
        back at once, and the whole with it.
        """
        async with self._opened(united=True):
            yield

    @asynccontextmanager
    async def _opened(self, *, united: bool) -> AsyncIterator[None]:
        opened = _Open(asyncio.current_task(), united=united, begun=not united)
        token = _open.set(opened)
        try:
            with unreachable_translated():
                if not united:
                    await self._begin(opened)
                yield
                if opened.failed:
                    message = "a part of this transaction failed; it can't be committed"
                    raise TransactionMisusedError(message)
                if opened.writer is not None:
                    await opened.writer.commit()
        finally:
            _open.reset(token)
            await self._let_go(opened)
        for callback in opened.after_commit:
            try:
                callback()
            except Exception:
                logger.exception("after_commit_failed")

    @asynccontextmanager
    async def _joined(self, current: _Open) -> AsyncIterator[None]:
        _refuse_other_tasks(current)
        current.begun = True
        current.depth += 1
        try:
            if current.writer is None:
                await self._begin(current)
            yield
        except BaseException:
            current.failed = True
            raise
        finally:
            current.depth -= 1
            if current.failed and current.united and not current.depth:
                await self._let_go(current)

    async def _begin(self, opened: _Open) -> Writer:
        if self._writers is None:
            message = "the database was not started"
            raise RuntimeError(message)
        opened.writer = writer = await self._writers.take()
        try:
            await writer.begin()
        except BaseException:
            writer.terminate()
            await self._let_go(opened)
            raise
        return writer

    async def _let_go(self, opened: _Open) -> None:
        """Roll back what is still open, at once, so that no lock waits for the end of a request."""
        writer, opened.writer = opened.writer, None
        if writer is None or self._writers is None:
            return
        try:
            await writer.end()
        finally:
            self._writers.give_back(writer)

    async def _driver(self, *, to_write: bool) -> Any:
        """Return the open transaction's connection; None if there is none, or none yet, and nothing to write."""
        current = _mine()
        if current is None:
            return None
        _refuse_other_tasks(current)
        current.begun = current.begun or to_write
        if not current.begun:
            return None
        writer = current.writer
        if writer is None:
            with unreachable_translated():
                writer = await self._begin(current)
        await writer.flush()
        return writer.driver

    async def fetch_all(self, statement: Statement[RowT], /, **parameters: Any) -> list[RowT]:
        """Return every row: through the open transaction if there is one, else in one round trip."""
        driver = await self._driver(to_write=statement.changes)
        if driver is None:
            records = await self._read("fetch", statement, parameters)
            return [statement.row(record) for record in records]
        records = await driver.fetch(statement.sql, *statement.arguments(parameters))
        return [statement.row(record, json_is_read=True) for record in records]

    async def fetch_one(self, statement: Statement[RowT], /, **parameters: Any) -> RowT | None:
        """Return the first row or None."""
        driver = await self._driver(to_write=statement.changes)
        if driver is None:
            record = await self._read("fetchrow", statement, parameters)
            return None if record is None else statement.row(record)
        records = await driver.fetch(statement.sql, *statement.arguments(parameters))
        return statement.row(records[0], json_is_read=True) if records else None

    async def execute(self, statement: Statement[Any], /, **parameters: Any) -> int:
        """Run a statement and return how many rows it changed. Commits by itself outside a transaction."""
        driver = await self._driver(to_write=statement.changes)
        if driver is None:
            status: str = await self._read("execute", statement, parameters)
        else:
            status = await driver.execute(statement.sql, *statement.arguments(parameters))
        return int(status.rsplit(" ", 1)[-1])

    async def _read(self, how: str, statement: Statement[Any], parameters: Mapping[str, Any]) -> Any:
        if self._readers is None:
            message = "the database was not started"
            raise RuntimeError(message)
        arguments = statement.arguments(parameters)
        if statement.may_be_stale:
            was_read, answer = await self._replicas.run(how, statement.sql, arguments)
            if was_read:
                return answer
        try:
            return await self._readers.run(how, statement.sql, arguments)
        except UNREACHABLE as error:
            raise DatabaseUnavailable from error

    async def _position(self) -> int:
        if self._readers is None:
            message = "the database was not started"
            raise RuntimeError(message)
        position: int = await self._readers.run("fetchval", PRIMARY_IS_AT, ())
        return position

    def _options(self, name: str) -> dict[str, Any]:
        """Return what every connection is opened with."""
        kept = {} if self._prepared else {"statement_cache_size": 0}
        return {"server_settings": {"application_name": name}, **kept}


def current_session() -> AsyncSession:
    """Return the session of the open transaction. Only repositories use it.

    Raises:
        TransactionMisusedError: no transaction is open, or another task opened it.
    """
    return _inside().session()


def require_transaction() -> None:
    """Check that a transaction is open. Raises TransactionMisusedError."""
    _inside()


def after_commit(callback: Callable[[], None]) -> None:
    """Run `callback` once the open transaction has committed; never when it rolls back. It must not block."""
    current = _mine()
    if current is None or not _is_inside(current):
        message = "no transaction is open to wait for"
        raise TransactionMisusedError(message)
    current.after_commit.append(callback)


def _inside() -> Writer:
    current = _mine()
    if current is None or not _is_inside(current):
        message = "no transaction is open; a service opens it with `async with self.transaction():`"
        raise TransactionMisusedError(message)
    _refuse_other_tasks(current)
    if current.writer is None:
        message = "a part of this transaction failed; nothing more can be done in it"
        raise TransactionMisusedError(message)
    return current.writer


def _mine() -> _Open | None:
    """Return the open transaction. One that spans a request isn't there for other tasks of it."""
    current = _open.get()
    if current is not None and current.united and current.task is not asyncio.current_task():
        return None
    return current


def _is_inside(current: _Open) -> bool:
    """Whether a service has opened what spans a request."""
    return not current.united or current.depth > 0


def _refuse_other_tasks(current: _Open) -> None:
    """A task that was started inside a transaction still sees it, but must not use its connection."""
    if current.task is not asyncio.current_task():
        message = "this transaction belongs to another task"
        raise TransactionMisusedError(message)
