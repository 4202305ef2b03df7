"""Answers without an end stop soon after their caller's session has. One look serves all of a process."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterator
from typing import Any, Protocol, TypeVar

from starlette.requests import Request

from shared.background import BackgroundLoop
from shared.http.request_context import context_of
from shared.identity import NotAuthenticated, Principal

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


async def until_revoked(request: Request, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield the items of a long response until the caller's token or session ends.

    The response then ends normally, and a client that requests again gets the reason.
    """
    watcher: RevocationWatcher = request.app.state.revocation_watcher
    principal = context_of(request.scope).principal
    if principal is None:
        raise NotAuthenticated
    with watcher.following(principal) as ended:
        coming = asyncio.ensure_future(anext(items, None))
        try:
            while True:
                either: set[asyncio.Future[Any]] = {coming, ended}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if ended.done() or (item := coming.result()) is None:
                    return
                yield item
                coming = asyncio.ensure_future(anext(items, None))
        finally:
            coming.cancel()
            await asyncio.wait({coming})
            await items.aclose()
