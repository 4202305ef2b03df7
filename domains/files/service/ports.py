"""What the services of files need from outside, and what was made for them to make."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from shared.streams import Chunk


class Store(Protocol):
    """Objects by key. Raises StoreFull or StoreUnavailable."""

    async def put(self, key: str, chunks: AsyncIterator[Chunk]) -> None:
        """Store a stream atomically; what the stream raises comes through and nothing is kept."""
        ...

    def read(self, key: str, start: int, end: int) -> AsyncIterator[Chunk]:
        """Yield bytes from `start` up to, not including, `end`."""
        ...

    async def fetch(self, key: str, size: int, target: Path) -> None:
        """Copy an object of `size` bytes into a local file."""
        ...

    async def store_file(self, key: str, source: Path) -> int:
        """Store a local file; return its size in bytes."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object; one that is gone is no error."""
        ...


class Renderer(Protocol):
    """Opens untrusted files where they can do no harm."""

    def workspace(self) -> AbstractAsyncContextManager[Path]:
        """Return a folder that it can read and write, removed at the end."""
        ...

    async def perform(self, operation: str, **arguments: str | int) -> dict[str, Any]:
        """Do one operation; raises ImageTooLarge, BrokenDocument, PasswordRequired, ParserLimit, SandboxUnavailable."""
        ...


class Sniffer(Protocol):
    """Tells a content type from the first bytes."""

    def __call__(self, head: bytes, *, complete: bool) -> str:
        """Return the content type; `complete` when `head` is the whole file."""
        ...
