"""Answers that are sent in pieces."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.http.api_state import api_state
from shared.http.request_context import context_of
from shared.identity import NotAuthenticated
from shared.streams import Chunk

T = TypeVar("T")


class ClosingStreamingResponse(StreamingResponse):
    """Closes its body on every exit path, which releases its resources at once."""

    body_iterator: AsyncGenerator[Chunk]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)


async def prefetched(stream: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    """Read the first piece before the response begins, so that an unavailable store can still become a 503."""
    first = await anext(stream, b"")

    async def chunks() -> AsyncGenerator[Chunk]:
        nonlocal first
        async with aclosing(stream):
            yield first
            first = b""
            async for piece in stream:
                yield piece

    return chunks()


async def until_revoked(request: Request, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield the items of a long response until the caller's token or session ends.

    The response then ends normally, and a client that requests again gets the reason.
    """
    principal = context_of(request.scope).principal
    if principal is None:
        raise NotAuthenticated
    with api_state(request).revocation_watcher.following(principal) as ended:
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
