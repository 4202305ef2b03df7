"""Answers without an end stop soon after their caller's session has. One look serves all of a process."""

import asyncio
import contextlib
from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

from shared.background import BackgroundLoop
from shared.identity import Principal

T = TypeVar("T")
POLLS = BackgroundLoop("sessions")
POLL_INTERVAL = 1.5
"""Seconds between two looks. An answer goes on for 2 s after its caller was shut out, at the most."""


class PrincipalValidator(Protocol):
    """Checks whether tokens are still valid."""

    async def still_valid(self, principals: Collection[Principal]) -> set[Principal]:
        """Return those of these callers whose token and session go on, with one statement for all."""
        ...


class RevocationWatcher:
    """One for each API process. It looks only while an answer is under way, and holds a caller for each."""

    def __init__(self, validator: PrincipalValidator) -> None:
        self._validator = validator
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
        """Look no further."""
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling

    async def _poll(self) -> None:
        # Callers that are added while a check runs belong to the next one.
        asked = dict(self._open)
        admitted = await self._validator.still_valid(set(asked.values()))
        for ended, principal in asked.items():
            if principal not in admitted and not ended.done():
                ended.set_result(None)
