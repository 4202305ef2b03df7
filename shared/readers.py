"""Connections for single statements outside transactions: little more than a stack of them."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import asyncpg

LONGEST_REST = 300.0
"""Seconds after which a connection that nobody used is replaced: somebody between may have forgotten it."""

_Connection = Any
"""asyncpg has no types."""


class Readers:
    """At most `size` connections, opened when they are needed. Who waits, waits in line, `timeout` seconds at most.

    asyncpg's own pool costs more than the statement. It resets each connection that comes back, and must find out
    whether something still runs on it; here nothing sets session state, and a connection whose statement was cut
    off is closed.
    """

    def __init__(self, url: str, *, size: int, timeout: float, **options: Any) -> None:
        self._url = url
        self._size = size
        self._timeout = timeout
        self._options = options
        self._resting: list[tuple[float, _Connection]] = []
        self._waiting: deque[asyncio.Future[_Connection | None]] = deque()
        self._open = 0
        self._used: set[_Connection] = set()

    async def run(self, how: str, sql: str, arguments: Sequence[Any]) -> Any:
        """Run one statement: `fetch` returns its rows, `fetchrow` the first of them, `execute` what was done.

        Raises:
            TimeoutError: all connections were in use for too long.
        """
        connection = self._rested() or await self._taken()
        self._used.add(connection)
        try:
            return await getattr(connection, how)(sql, *arguments)
        except asyncpg.PostgresError:
            raise
        except BaseException:
            connection.terminate()
            raise
        finally:
            self._give_back(connection)

    def usage(self) -> tuple[int, int, int, int]:
        """Return how many connections there may be, are idle and in use, and how many tasks wait for one."""
        waiting = sum(not waiting.done() for waiting in self._waiting)
        return self._size, len(self._resting), len(self._used), waiting

    def terminate(self) -> None:
        """Close every connection at once."""
        for connection in [*self._used, *(connection for _, connection in self._resting)]:
            connection.terminate()
        self._resting.clear()

    async def _taken(self) -> _Connection:
        while True:
            connection = await self._opened_or_awaited()
            if connection is not None and not connection.is_closed():
                return connection
            if connection is not None:
                self._open -= 1

    def _give_back(self, connection: _Connection) -> None:
        """Take a connection back, and hand it to who waits longest. A closed one makes room for another."""
        self._used.discard(connection)
        closed = connection.is_closed()
        if closed:
            self._open -= 1
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None if closed else connection)
                return
        if not closed:
            self._resting.append((asyncio.get_running_loop().time(), connection))

    def _rested(self) -> _Connection | None:
        """Return the connection that was used last: the others may rest until they are too old."""
        now = asyncio.get_running_loop().time()
        while self._resting:
            since, connection = self._resting.pop()
            if now - since < LONGEST_REST and not connection.is_closed():
                return connection
            connection.terminate()
            self._open -= 1
        return None

    async def _opened_or_awaited(self) -> _Connection | None:
        if self._open < self._size:
            self._open += 1
            try:
                return await asyncpg.connect(self._url, timeout=self._timeout, **self._options)
            except BaseException:
                self._open -= 1
                self._make_room_known()
                raise
        return await self._awaited()

    async def _awaited(self) -> _Connection | None:
        waiting: asyncio.Future[_Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self._timeout):
                return await waiting
        except BaseException:
            if waiting.done() and not waiting.cancelled():
                self._pass_on(waiting.result())
            raise

    def _pass_on(self, connection: _Connection | None) -> None:
        """Who was handed a connection in the moment of giving up gives it to the next."""
        if connection is None:
            self._make_room_known()
        else:
            self._give_back(connection)

    def _make_room_known(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
