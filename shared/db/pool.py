"""Connections for single statements outside transactions: little more than a stack of them."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

from shared.errors import Outage
from shared.outages import NotConnected, outage_of

_FAREWELL_SECONDS = 1.0
LONGEST_REST = 300.0
"""Seconds after which a connection that nobody used is replaced: somebody between may have forgotten it."""

RENEWAL_PAUSE = 1.0
"""Seconds between two renewals of all connections, so that a server that stays read-only isn't flooded with logins."""


class Lendable(Protocol):
    """What all connections can do."""

    def is_closed(self) -> bool:
        """Whether nothing can be done on it any more."""
        ...

    def terminate(self) -> None:
        """Close it at once."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109  # asyncpg's signature
        """Take leave, for so many seconds at most, and close it."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Lendable)


class Readers(Generic[ConnectionT]):
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
        self._resting: list[tuple[float, ConnectionT]] = []
        self._waiting: deque[asyncio.Future[ConnectionT | None]] = deque()
        self._open = 0
        self._used: set[ConnectionT] = set()
        self._outdated: set[ConnectionT] = set()
        self._renewed_at = float("-inf")

    async def run(self, how: str, sql: str, arguments: Sequence[Any]) -> Any:
        """Run one statement: `fetch` returns its rows, `fetchrow` the first of them, `execute` what was done.

        Raises:
            TimeoutError: all connections were in use for too long.
        """
        connection = await self.take()
        try:
            return await getattr(connection, how)(sql, *arguments)
        except asyncpg.PostgresError as error:
            if outage_of(error) is Outage.READ_ONLY:
                connection.terminate()
            raise
        except BaseException:
            connection.terminate()
            raise
        finally:
            self.give_back(connection)

    async def take(self) -> ConnectionT:
        """Return a connection that is the caller's alone until `give_back`.

        Raises:
            TimeoutError: all were in use for too long.
        """
        connection = self._rested() or await self._taken()
        self._used.add(connection)
        return connection

    def give_back(self, connection: ConnectionT) -> None:
        """Take a connection back, and hand it to who waits longest. A closed one makes room for another."""
        self._used.discard(connection)
        if connection in self._outdated:
            self._outdated.remove(connection)
            connection.terminate()
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

    def usage(self) -> tuple[int, int, int, int]:
        """Return how many connections there may be, are idle and in use, and how many tasks wait for one."""
        waiting = sum(not waiting.done() for waiting in self._waiting)
        return self._size, len(self._resting), self._open - len(self._resting), waiting

    def renew(self) -> None:
        """Replace every connection: those that rest now, those in use when they come back.

        After a failover they may lead to a standby, which stays read-only.
        """
        now = asyncio.get_running_loop().time()
        if now - self._renewed_at < RENEWAL_PAUSE:
            return
        self._renewed_at = now
        self._outdated |= self._used
        for _, connection in self._resting:
            connection.terminate()
        self._open -= len(self._resting)
        self._resting.clear()

    def terminate(self) -> None:
        """Close every connection at once."""
        for connection in [*self._used, *(connection for _, connection in self._resting)]:
            connection.terminate()
        self._resting.clear()

    async def stop(self) -> None:
        """Take leave on the connections that rest, and close the others at once."""
        resting = [connection for _, connection in self._resting]
        self._resting.clear()
        self.terminate()
        await asyncio.gather(
            *(connection.close(timeout=_FAREWELL_SECONDS) for connection in resting), return_exceptions=True
        )

    async def _taken(self) -> ConnectionT:
        while True:
            connection = await self._opened_or_awaited()
            if connection is not None and not connection.is_closed():
                return connection
            if connection is not None:
                self._open -= 1

    def _rested(self) -> ConnectionT | None:
        """Return the connection that was used last: the others may rest until they are too old."""
        now = asyncio.get_running_loop().time()
        while self._resting:
            since, connection = self._resting.pop()
            if now - since < LONGEST_REST and not connection.is_closed():
                return connection
            connection.terminate()
            self._open -= 1
        return None

    async def _opened_or_awaited(self) -> ConnectionT | None:
        if self._open < self._size:
            self._open += 1
            try:
                return await self._connect()
            except BaseException as error:
                self._open -= 1
                self._notify_waiting()
                if isinstance(error, asyncpg.PostgresError | DBAPIError) and outage_of(error) is None:
                    raise NotConnected from error  # whatever it says, it lets nobody in
                raise
        return await self._awaited()

    async def _connect(self) -> ConnectionT:
        connection: ConnectionT = await asyncpg.connect(self._url, timeout=self._timeout, **self._options)
        return connection

    async def _awaited(self) -> ConnectionT | None:
        waiting: asyncio.Future[ConnectionT | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self._timeout):
                return await waiting
        except BaseException:
            if waiting.done() and not waiting.cancelled():
                self._pass_on(waiting.result())
            raise

    def _pass_on(self, connection: ConnectionT | None) -> None:
        """Who was handed a connection in the moment of giving up gives it to the next."""
        if connection is None:
            self._notify_waiting()
        else:
            self.give_back(connection)

    def _notify_waiting(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
