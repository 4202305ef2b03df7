"""The byte stream of an upload, counted, hashed and checked on its way into the store."""

import asyncio
import codecs
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from fnmatch import fnmatchcase

from domains.files.errors import DigestMismatch, FileTooLarge, TypeRefused
from domains.files.gateway.sniffing import sniff
from domains.files.settings import FilesSettings

_PIECE = 1 << 20
_HEAD = 65_536
_NEVER = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml"})


class UploadStream:
    """Yields the bytes of an upload; afterwards `size`, `sha256`, `content_type` and `charset` are known.

    `charset` is the encoding of text if all of it is Unicode; other encodings can't be told apart. `reserve(size)` is
    awaited before the bytes up to `size` are yielded.
    """

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        *,
        settings: FilesSettings,
        reserve: Callable[[int], Awaitable[None]],
        expected_digest: bytes | None,
    ) -> None:
        self.size = 0
        self.content_type = ""
        self.charset: str | None = None
        self._chunks = chunks
        self._settings = settings
        self._reserve = reserve
        self._expected = expected_digest
        self._digest = hashlib.sha256()
        self._utf_8 = codecs.getincrementaldecoder("utf-8")()

    @property
    def sha256(self) -> str:
        """The digest of the bytes yielded so far, hexadecimal."""
        return self._digest.hexdigest()

    async def checked_chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes in pieces of about 1 MiB.

        The type is checked before the first piece is yielded, so a refused file never reaches the store.

        Raises:
            FileTooLarge, QuotaExceeded, TypeRefused, DigestMismatch: the bytes must not be kept.
        """
        hashing: asyncio.Future[None] | None = None
        pieces = _gathered(self._chunks)
        piece = await anext(pieces, b"")
        self._accept_type(piece)
        while piece:
            await self._count(len(piece))
            if hashing is not None:
                await hashing
            # In a thread, while this piece is stored and the next arrives.
            hashing = asyncio.ensure_future(asyncio.to_thread(self._inspect, piece))
            yield piece
            piece = await anext(pieces, b"")
        if hashing is not None:
            await hashing
        self._inspect(b"", final=True)
        if self._expected is not None and self._digest.digest() != self._expected:
            raise DigestMismatch

    def _inspect(self, piece: bytes, *, final: bool = False) -> None:
        """Hash a piece. The type was told from the beginning alone, so check that all of the text is UTF-8."""
        self._digest.update(piece)
        if self.charset == "utf-8":
            try:
                self._utf_8.decode(piece, final=final)
            except UnicodeDecodeError:
                self.charset = None

    async def _count(self, arrived: int) -> None:
        self.size += arrived
        if self.size > self._settings.files_max_bytes:
            raise FileTooLarge(limit=self._settings.files_max_bytes)
        await self._reserve(self.size)

    def _accept_type(self, first_piece: bytes) -> None:
        self.content_type, self.charset = sniff(first_piece[:_HEAD], complete=len(first_piece) <= _HEAD)
        allowed = self._settings.files_allowed_types
        if self.content_type in _NEVER or not any(
            fnmatchcase(self.content_type, pattern) for pattern in allowed
        ):
            raise TypeRefused(content_type=self.content_type)


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield larger pieces: a thread and a write per network packet would cost more than the work itself."""
    waiting, length = [], 0
    async for chunk in chunks:
        waiting.append(chunk)
        length += len(chunk)
        if length >= _PIECE:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)
