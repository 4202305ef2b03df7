"""One sign-in of an address at a time, so that many correct ones at once are not taken for guessing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from domains.auth.errors import TooManyAttempts

_BUSY = "Too many sign-ins of this address are being checked. Try again in a moment."


@dataclass(slots=True)
class _Line:
    """The sign-ins of one address: the one that holds the lock, and those that wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    present: int = 0


class Turns:
    """Queues of this process, first come, first served. Waiting holds no connection and asks the database nothing.

    At most `waiting` sign-ins of an address wait, for at most `seconds` each.
    """

    def __init__(self, *, waiting: int, seconds: float) -> None:
        self._waiting = waiting
        self._seconds = seconds
        self._lines: dict[bytes, _Line] = {}

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncIterator[None]:
        """Wait for those with the same key that came before.

        Raises:
            TooManyAttempts: too many wait already, or it took too long.
        """
        line = self._lines.setdefault(key, _Line())
        if line.present > self._waiting:
            raise TooManyAttempts(_BUSY, retry_after=self._seconds)
        line.present += 1
        try:
            await self._acquire(line)
            try:
                yield
            finally:
                line.lock.release()
        finally:
            line.present -= 1
            if not line.present:
                self._lines.pop(key, None)

    async def _acquire(self, line: _Line) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await line.lock.acquire()
        except TimeoutError as error:
            raise TooManyAttempts(_BUSY, retry_after=self._seconds) from error
