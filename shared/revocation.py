"""Ends event streams soon after the session of their caller has ended, with one query for all of a process."""

import asyncio
import contextlib
from collections.abc import Iterator

from shared.background import BackgroundLoop
from shared.identity import Authenticator, Principal

POLLS = BackgroundLoop("sessions")
POLL_INTERVAL = 1.5
"""Seconds between two checks. A stream goes on for at most 2 s after the session of its caller has ended."""


class RevocationWatcher:
    """One per API process. It runs only while a stream is open."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._open: dict[asyncio.Future[None], Principal] = {}
        self._polling: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def following(self, principal: Principal) -> "Iterator[asyncio.Future[None]]":
        """Provide a future that is done when the caller's token or session ends."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open[ended] = principal
        if self._polling is None or self._polling.done():
            self._polling = POLLS.start(
                self._poll, pause=POLL_INTERVAL, delay=POLL_INTERVAL, should_continue=lambda: bool(self._open)
            )
        try:
            yield ended
        finally:
            del self._open[ended]
            ended.cancel()

    async def stop(self) -> None:
        """End the checks."""
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling

    async def _poll(self) -> None:
        # Callers that are added while a check runs belong to the next one.
        asked = dict(self._open)
        admitted = await self._authenticator.still_valid(set(asked.values()))
        for ended, principal in asked.items():
            if principal not in admitted and not ended.done():
                ended.set_result(None)
