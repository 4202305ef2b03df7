"""Sign-ins that share a counter are checked one at a time, so that many correct ones are not taken for guessing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from domains.auth.errors import TooManyAttempts

_BUSY = "Too many sign-ins with this address are being checked. Try again in a moment."


@dataclass(slots=True)
class _Entry:
    """The sign-ins of one counter: the one that holds the lock, and those that wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class KeyedLock:
    """Queues in this process, first in, first out. A sign-in that waits holds no connection and runs no statement.

    At most `waiting` sign-ins with the same key wait, for at most `seconds` each.
    """

    def __init__(self, *, waiting: int, seconds: float) -> None:
        self._waiting = waiting
        self._seconds = seconds
        self._entries: dict[bytes, _Entry] = {}

    def is_busy(self, key: bytes) -> bool:
        """Tell whether a sign-in with this key would have to wait."""
        return key in self._entries

    @asynccontextmanager
    async def hold(self, key: bytes) -> AsyncIterator[None]:
        """Wait until every earlier sign-in with the same key has ended.

        Raises:
            TooManyAttempts: too many wait already, or it took too long.
        """
        entry = self._entries.setdefault(key, _Entry())
        if entry.users > self._waiting:
            raise TooManyAttempts(_BUSY, retry_after=self._seconds)
        entry.users += 1
        try:
            await self._acquire(entry)
            try:
                yield
            finally:
                entry.lock.release()
        finally:
            entry.users -= 1
            if not entry.users:
                self._entries.pop(key, None)

    async def _acquire(self, entry: _Entry) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await entry.lock.acquire()
        except TimeoutError as error:
            raise TooManyAttempts(_BUSY, retry_after=self._seconds) from error
