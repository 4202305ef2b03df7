"""Where a backup is: a folder, or a place in an object store. Streams in and out, each with its digest."""

import hashlib
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import NAME, Manifest, Part
from bootstrap.settings import Settings
from domains.files.errors import StoreFull, StoreUnavailable
from domains.files.gateway.store import ObjectFiles

_GZIP = 31
"""zlib's number for a gzip stream."""
_LEVEL = 3
_OUT_AT_ONCE = 1 << 20


def objects_at(settings: Settings, place: str) -> ObjectFiles:
    """Open a folder or a URL like the store of files."""
    url = place if "://" in place else Path(place).absolute().as_uri()
    return ObjectFiles(settings.model_copy(update={"files_store_url": url}), Path(place))


class Archive:
    """The objects of one backup."""

    def __init__(self, settings: Settings, place: str) -> None:
        """`place` is a folder or a URL (s3://bucket/prefix), opened like the store of files."""
        self.place = place
        self.objects = objects_at(settings, place)

    async def refuse_unless_empty(self) -> None:
        """Refuse to mix two backups, or to take a half-written one for the beginning of this one."""
        with self._named():
            is_empty = await self.objects.is_empty()
        if not is_empty:
            raise BackupRefused(
                f"There is something in {self.place} already: a backup needs a place of its own."
            )

    async def pack(self, key: str, chunks: AsyncIterator[bytes]) -> Part:
        """Store a stream, compressed."""
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in _compressed(chunks):
                digest.update(piece)
                size += len(piece)
                yield piece

        with self._named():
            await self.objects.put(key, counted())
        return Part(bytes=size, sha256=digest.hexdigest())

    async def unpack(self, key: str, part: Part) -> AsyncIterator[bytes]:
        """Yield what was packed. Call `verify` first."""
        inflate = zlib.decompressobj(_GZIP)
        async for piece in self.objects.read(key, 0, part.bytes):
            data = inflate.decompress(piece, _OUT_AT_ONCE)
            while data:
                yield data
                data = inflate.decompress(inflate.unconsumed_tail, _OUT_AT_ONCE)
        yield inflate.flush()

    async def verify(self, key: str, part: Part) -> None:
        """Read a packed stream from end to end; refuse it when it isn't what was stored."""
        if await self.objects.size(key) != part.bytes:
            raise BackupRefused(f"The backup is damaged: {key} is missing or torn. Nothing was changed.")
        digest = hashlib.sha256()
        async for piece in self.objects.read(key, 0, part.bytes):
            digest.update(piece)
        if digest.hexdigest() != part.sha256:
            raise BackupRefused(
                f"The backup is damaged: {key} has other bytes than were stored. Nothing was changed."
            )

    async def seal(self, manifest: Manifest) -> None:
        """Write the manifest: from now on it is a backup."""

        async def text() -> AsyncIterator[bytes]:
            yield manifest.model_dump_json(indent=1).encode()

        await self.objects.put(NAME, text())

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Tell a place that can't be written to from the store of files, which says the same of itself."""
        try:
            yield
        except (StoreUnavailable, StoreFull) as error:
            reason = (
                "has no space left" if isinstance(error, StoreFull) else "can't be reached, or not written to"
            )
            raise BackupRefused(f"{self.place} {reason}.") from error

    async def manifest(self) -> Manifest:
        """Read the manifest."""
        size = await self.objects.size(NAME)
        if size is None:
            raise BackupRefused(f"No backup is in {self.place}, or it was never finished: it has no {NAME}.")
        text = b"".join([piece async for piece in self.objects.read(NAME, 0, size)])
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            raise BackupRefused(
                f"{NAME} in {self.place} can't be read: a newer version made it, or it is damaged."
            ) from error


async def _compressed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    deflate = zlib.compressobj(_LEVEL, wbits=_GZIP)
    async for chunk in chunks:
        if piece := deflate.compress(chunk):
            yield piece
    yield deflate.flush()
