"""The connections to one PostgreSQL, for single statements and for transactions."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import asyncpg

from shared.errors import Outage
from shared.outages import NotConnected, outage_of

Connection = Any
"""asyncpg has no types."""

_CLOSING_SECONDS = 1.0
LONGEST_IDLE = 300.0
"""Seconds after which an idle connection is replaced: a firewall may have dropped it silently."""

RENEWAL_PAUSE = 1.0
"""Seconds between two renewals of all connections, so that a server that stays read-only isn't flooded with logins."""


class ConnectionPool:
    """At most `size` connections, opened when they are needed. Tasks wait in order, `timeout` seconds at most.

    One connection is reserved for tasks that already hold another (`use_reserved`), so that a pool cannot deadlock when
    all its users need a second one. A connection is not reset on release, so nothing may set session state on it;
    one whose statement was cancelled is closed.
    """

    def __init__(self, url: str, *, size: int, timeout: float, **options: Any) -> None:
        self._url = url
        self._size = size
        self._limit = max(1, size - 1)
        self._timeout = timeout
        self._options = options
        self._idle: list[tuple[float, Connection]] = []
        self._in_use: set[Connection] = set()
        self._outdated: set[Connection] = set()
        self._taken = 0
        """Connections in use or being opened."""

        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waiting_for_reserved: deque[asyncio.Future[None]] = deque()
        self._renewed_at = float("-inf")

    async def run(self, how: str, sql: str, arguments: Sequence[Any]) -> Any:
        """Run one statement with a method of asyncpg: `fetch`, `fetchrow`, `fetchval` or `execute`.

        Raises:
            TimeoutError: all connections were in use for too long.
        """
        connection = await self.acquire()
        try:
            return await getattr(connection, how)(sql, *arguments)
        except asyncpg.PostgresError as error:
            # A server that became a standby stays read-only, so the connection is of no use any more.
            if outage_of(error) is Outage.READ_ONLY:
                connection.terminate()
            raise
        except BaseException:
            connection.terminate()
            raise
        finally:
            self.release(connection)

    async def acquire(self, *, use_reserved: bool = False) -> Connection:
        """Return a connection that is the caller's alone until `release`.

        Raises:
            TimeoutError: all were in use for too long.
        """
        # Counted before the first await, so that tasks which start at the same time don't exceed the limit.
        if self._taken < (self._size if use_reserved else self._limit):
            self._taken += 1
        else:
            await self._wait(self._waiting_for_reserved if use_reserved else self._waiting)
        try:
            connection = self._last_used() or await self._connect()
        except BaseException:
            self._free_slot()
            raise
        self._in_use.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back. The slot of a closed one is free."""
        self._in_use.discard(connection)
        if connection in self._outdated:
            self._outdated.remove(connection)
            connection.terminate()
        if not connection.is_closed():
            self._idle.append((asyncio.get_running_loop().time(), connection))
        self._free_slot()

    def usage(self) -> tuple[int, int, int, int]:
        """Return the size of the pool, and the numbers of idle and used connections and of waiting tasks."""
        waiting = sum(not each.done() for each in (*self._waiting, *self._waiting_for_reserved))
        return self._size, len(self._idle), self._taken, waiting

    def renew(self) -> None:
        """Replace every connection: idle ones now, those in use when they are released.

        After a failover they may lead to a standby, which stays read-only.
        """
        now = asyncio.get_running_loop().time()
        if now - self._renewed_at < RENEWAL_PAUSE:
            return
        self._renewed_at = now
        # Their statements go on; they are closed when they are released.
        self._outdated |= self._in_use
        for _, connection in self._idle:
            connection.terminate()
        self._idle.clear()

    def terminate(self) -> None:
        """Close every connection at once."""
        for connection in [*self._in_use, *(connection for _, connection in self._idle)]:
            connection.terminate()
        self._idle.clear()

    async def stop(self) -> None:
        """Close idle connections gracefully, and the others at once."""
        idle = [connection for _, connection in self._idle]
        self._idle.clear()
        self.terminate()
        await asyncio.gather(
            *(connection.close(timeout=_CLOSING_SECONDS) for connection in idle), return_exceptions=True
        )

    def _last_used(self) -> Connection | None:
        """Return the idle connection that was used last, so that surplus ones reach their age limit and are closed."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, connection = self._idle.pop()
            if now - since < LONGEST_IDLE and not connection.is_closed():
                return connection
            connection.terminate()
        return None

    async def _connect(self) -> Connection:
        try:
            return await asyncpg.connect(self._url, timeout=self._timeout, **self._options)
        except asyncpg.PostgresError as error:
            if outage_of(error) is None:
                raise NotConnected from error  # any reply, but no connection
            raise

    async def _wait(self, queue: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._timeout):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._free_slot()  # the slot was assigned as the wait was cancelled
            raise

    def _free_slot(self) -> None:
        """Count one connection less, and give its slot to the next waiting task."""
        self._taken -= 1
        if not self._waiting and not self._waiting_for_reserved:
            return
        for queue, limit in ((self._waiting_for_reserved, self._size), (self._waiting, self._limit)):
            while queue and self._taken < limit:
                turn = queue.popleft()
                if not turn.done():
                    self._taken += 1
                    # The slot is taken before the task runs, so that no new task overtakes it.
                    turn.set_result(None)
