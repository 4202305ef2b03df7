"""Connections for transactions: compiled statements go to the driver, SQLAlchemy's session joins when it is needed."""

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from shared.db.pool import Readers

ROLLBACK_SECONDS = 5.0
"""A database that doesn't roll back in this time is frozen: it does when the connection is gone."""


class Writer:
    """One connection, seen from both sides, and what is open on it."""

    def __init__(self, connection: AsyncConnection, adapter: Any, driver: Any) -> None:
        self.driver = driver
        self._connection = connection
        self._adapter = adapter
        self._transaction: Any = None
        self._session: AsyncSession | None = None

    def is_closed(self) -> bool:
        """Whether nothing can be done on it any more."""
        closed: bool = self.driver.is_closed()
        return closed

    def terminate(self) -> None:
        """Close it at once."""
        self.driver.terminate()

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109  # asyncpg's signature
        """Take leave, and close it."""
        await self.driver.close(timeout=timeout)

    async def begin(self, *, durable: bool) -> None:
        """Begin a transaction. If it isn't durable, its commit doesn't wait for the disk."""
        self._transaction = self.driver.transaction()
        await self._transaction.start()
        if not durable:
            await self.driver.execute("SET LOCAL synchronous_commit TO off")

    def session(self) -> AsyncSession:
        """Return a session that works in the open transaction."""
        if self._session is None:
            # The adapter begins a transaction of its own unless it knows of one.
            self._adapter._transaction = self._transaction  # noqa: SLF001  # SQLAlchemy has no way to hand one over
            self._session = AsyncSession(self._connection, expire_on_commit=False)
        return self._session

    async def flush(self) -> None:
        """Write what the session was told and has not written yet."""
        session = self._session
        if session is not None and (session.new or session.dirty or session.deleted):
            await session.flush()

    async def commit(self) -> None:
        """Commit; what the session was told belongs to it."""
        if self._session is None:
            await self._transaction.commit()
            return
        await self._session.commit()
        await self._session.close()
        self._session = None

    async def end(self) -> None:
        """Roll back what is left open; if that can't be done, close the connection, which rolls back too."""
        session, self._session = self._session, None
        is_open = not self.is_closed() and self.driver.is_in_transaction()
        if session is None and not is_open:
            self._transaction = None
            return
        try:
            async with asyncio.timeout(ROLLBACK_SECONDS):
                await (session.close() if session is not None else self._transaction.rollback())
        except BaseException as error:
            self.terminate()
            if not isinstance(error, Exception):
                raise
        finally:
            self._transaction = self._adapter._transaction = None  # noqa: SLF001  # as above
            if not self.is_closed() and self.driver.is_in_transaction():
                self.terminate()


class Writers(Readers[Writer]):
    """As `Readers`, but each connection is also one of the engine's."""

    def __init__(self, engine: AsyncEngine, *, size: int, timeout: float) -> None:
        super().__init__("", size=size, timeout=timeout)
        self._engine = engine

    async def _connect(self) -> Writer:
        connection = await self._engine.connect()
        raw: Any = await connection.get_raw_connection()
        writer = Writer(connection, raw.dbapi_connection, raw.driver_connection)
        # The engine's pool is left out: it would reset the connection, and end it when nobody holds it.
        raw.detach()
        return writer
