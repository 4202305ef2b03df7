"""Read replicas, used while their lag is below a limit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from shared.background import BackgroundLoop
from shared.db.pool import ConnectionPool
from shared.logging import get_logger

logger = get_logger(__name__)
# Replicas grow old while the primary is away, and are of use as soon as it is back.
POLLS = BackgroundLoop(
    "database.replicas",
    longest_pause=1.0,
    expected_errors=(asyncpg.InterfaceError, asyncpg.InternalClientError),
)

# Positions in the write-ahead log, as numbers of bytes since its beginning.
PRIMARY_IS_AT = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"
_REPLICA_IS_AT = "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0' END)::bigint"
_POLLS_PER_LAG = 4
"""How often replicas are looked at within the time that they may be behind."""

_SHORTEST_PAUSE = 0.05


class Replicas:
    """Replicas in turn, each for as long as it is known to be less than `lag` seconds behind.

    A clock is never compared with another machine's: the primary's position is noted with the time here, and a
    replica is as old as the latest note that it has reached.
    """

    def __init__(self, urls: Sequence[str], *, lag: float, size: int, timeout: float, **options: Any) -> None:
        self._lag = lag
        self._replicas = [_Replica(url, size=size, timeout=min(timeout, lag), **options) for url in urls]
        self._notes: deque[tuple[float, int]] = deque()
        self._next_index = 0
        self._watching: asyncio.Task[None] | None = None

    def start(self, primary_is_at: Callable[[], Awaitable[int]]) -> None:
        """Start watching the replicas; `primary_is_at` reads the position of the primary."""
        if self._replicas:
            self._watching = POLLS.start(
                partial(self._poll, primary_is_at), pause=max(_SHORTEST_PAUSE, self._lag / _POLLS_PER_LAG)
            )

    def stop(self) -> None:
        """Close every connection."""
        if self._watching is not None:
            self._watching.cancel()
        for replica in self._replicas:
            replica.pool.terminate()

    def states(self) -> list[tuple[str, bool]]:
        """Return host and port of each, and whether it was in use when it was last looked at."""
        return [(replica.address, replica.in_use) for replica in self._replicas]

    async def run(self, how: str, sql: str, arguments: Sequence[Any]) -> tuple[bool, Any]:
        """Run one statement on a replica; return whether one did, and what it answered."""
        replica = self._next()
        if replica is None:
            return False, None
        try:
            return True, await replica.pool.run(how, sql, arguments)
        except Exception as error:  # noqa: BLE001  # whatever it is (away, conflict with recovery): the primary knows better
            replica.mark_unusable(type(error).__name__)
            return False, None

    def _next(self) -> "_Replica | None":
        oldest = asyncio.get_running_loop().time() - self._lag
        for _ in self._replicas:
            self._next_index = (self._next_index + 1) % len(self._replicas)
            # The age, not `in_use`: a replica may have become too old since the last poll.
            if self._replicas[self._next_index].as_of > oldest:
                return self._replicas[self._next_index]
        return None

    async def _poll(self, primary_is_at: Callable[[], Awaitable[int]]) -> None:
        now = asyncio.get_running_loop().time()
        # An answer that takes longer says nothing about the present.
        async with asyncio.timeout(self._lag):
            self._notes.append((now, await primary_is_at()))
        while self._notes[0][0] < now - 2 * self._lag:
            self._notes.popleft()
        await asyncio.gather(*(replica.poll(self._notes, self._lag) for replica in self._replicas))


class _Replica:
    """One of them. `as_of` is the time at which the primary was where this one is at least now."""

    def __init__(self, url: str, *, size: int, timeout: float, **options: Any) -> None:
        self.pool = ConnectionPool(url, size=size, timeout=timeout, **options)
        self.as_of = float("-inf")
        parts = urlsplit(url)
        self._name = parts.hostname
        self.address = f"{parts.hostname}:{parts.port or 5432}"
        self.in_use = False

    async def poll(self, notes: Sequence[tuple[float, int]], lag: float) -> None:
        """Read the replica's position."""
        try:
            async with asyncio.timeout(lag):
                position = await self.pool.run("fetchval", _REPLICA_IS_AT, ())
        except Exception as error:  # noqa: BLE001  # it is away, whatever it says
            self.mark_unusable(type(error).__name__)
            return
        if position is None:
            self.mark_unusable("it is no replica")
            return
        self.as_of = max((at for at, reached in notes if reached <= position), default=float("-inf"))
        is_fresh = self.as_of > asyncio.get_running_loop().time() - lag
        if is_fresh and not self.in_use:
            logger.info("replica_in_use", host=self._name)
        if self.in_use and not is_fresh:
            logger.warning("replica_out_of_use", host=self._name, reason="it is behind")
        self.in_use = is_fresh

    def mark_unusable(self, reason: str) -> None:
        """Read from others until it was looked at again."""
        if self.in_use:
            logger.warning("replica_out_of_use", host=self._name, reason=reason)
        self.in_use = False
        self.as_of = float("-inf")
