"""Answers without an end stop soon after their caller's session has. One look serves all of a process."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterator
from typing import Any, Protocol, TypeVar

from starlette.requests import Request

from shared.background import BackgroundLoop
from shared.identity import Principal

T = TypeVar("T")
LOOKS = BackgroundLoop("admissions")
LOOK_PAUSE = 1.5
"""Seconds between two looks. An answer goes on for 2 s after its caller was shut out, at the most."""


class Admitter(Protocol):
    """Tells whose tokens are still good."""

    async def still_admitted(self, principals: Collection[Principal]) -> set[Principal]:
        """Return those of these callers whose token and session go on, with one statement for all."""
        ...


class Admissions:
    """One for each API process. It looks only while an answer is under way, and holds a caller for each."""

    def __init__(self, admitter: Admitter) -> None:
        self._admitter = admitter
        self._open: dict[asyncio.Future[None], Principal] = {}
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def following(self, principal: Principal) -> "Iterator[asyncio.Future[None]]":
        """Provide what is done once this caller is shut out."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open[ended] = principal
        if self._looking is None or self._looking.done():
            self._looking = LOOKS.start(
                self._look, pause=LOOK_PAUSE, delay=LOOK_PAUSE, goes_on=lambda: bool(self._open)
            )
        try:
            yield ended
        finally:
            del self._open[ended]
            ended.cancel()

    async def stop(self) -> None:
        """Look no further."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        # Who comes while a look is under way is not part of it.
        asked = dict(self._open)
        admitted = await self._admitter.still_admitted(set(asked.values()))
        for ended, principal in asked.items():
            if principal not in admitted and not ended.done():
                ended.set_result(None)


async def while_admitted(request: Request, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Pass on the items of an answer that takes long, until the caller's token or session ends.

    It ends like an answer that has no more items: a client that asks again is told why.
    """
    admissions: Admissions = request.app.state.admissions
    with admissions.following(request.state.principal) as ended:
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
