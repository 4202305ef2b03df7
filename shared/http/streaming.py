"""Answers that are sent in pieces."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from shared.streams import Chunk


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
