"""What the services of files need from outside, and what was made for them to make."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from shared.streams import Chunk


class Store(Protocol):
    """Objects by key. Raises StoreFull or StoreUnavailable."""

    async def put(self, key: str, chunks: AsyncIterator[Chunk]) -> None:
        """Store a stream atomically; what the stream raises comes through and nothing is kept."""
        ...

    def read(self, key: str, start: int, end: int) -> AsyncGenerator[Chunk]:
        """Yield bytes from `start` up to, not including, `end`."""
        ...

    async def fetch(self, key: str, size: int, target: Path) -> None:
        """Copy an object of `size` bytes into a local file."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object; one that is gone is no error."""
        ...


class PrunedRecords(Protocol):
    """Records of erasures, of which old ones can be deleted."""

    async def prune(self, before: datetime) -> None:
        """Delete the records of the days before the day of a moment. Raises StoreUnavailable."""
        ...


class Renderer(Protocol):
    """Opens untrusted files where they can do no harm."""

    def workspace(self, owner_id: UUID) -> AbstractAsyncContextManager[Path]:
        """Return an empty folder for a file of this person and what is made of it, removed at the end."""
        ...

    async def perform(
        self, operation: str, *, source: Path, **arguments: str | int | list[int]
    ) -> dict[str, Any]:
        """Do one operation on a file of a workspace, and return the facts that it tells.

        Raises ImageTooLarge, UnsupportedCodec, BrokenDocument, NoPages, PasswordRequired, ParserLimit,
        SandboxUnavailable.
        """
        ...

    async def make(
        self, operation: str, *, source: Path, **arguments: str | int | list[int]
    ) -> tuple[dict[str, Any], bytes]:
        """Make something of a file of a workspace. Return the facts and what was made.

        Raises the same errors as `perform`.
        """
        ...


class Sniffer(Protocol):
    """Tells a content type from the first bytes."""

    def __call__(self, head: bytes, *, complete: bool) -> tuple[str, str | None]:
        """Return content type, and encoding if it is Unicode text; `complete` when `head` is the whole file."""
        ...
