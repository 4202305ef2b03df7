"""Where a backup is: a folder, or a place in an object store. Streams in and out, each with its digest."""

import hashlib
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import LARGEST, NAME, Manifest, Part, read_manifest
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
        """Yield what was packed. Call `verify` first.

        Raises:
            BackupRefused: it is not one whole gzip stream.
        """
        inflate = zlib.decompressobj(_GZIP)
        try:
            async for piece in self.objects.read(key, 0, part.bytes):
                data = inflate.decompress(piece, _OUT_AT_ONCE)
                while data:
                    yield data
                    data = inflate.decompress(inflate.unconsumed_tail, _OUT_AT_ONCE)
            yield inflate.flush()
        except zlib.error as error:
            raise _not_gzip(key) from error
        if not inflate.eof or inflate.unused_data:
            raise _not_gzip(key)

    async def verify(self, key: str, part: Part, *, lines: int | None = None) -> None:
        """Read a packed stream from end to end; refuse it when it isn't what was stored, or has not so many lines."""
        if await self.objects.size(key) != part.bytes:
            raise BackupRefused(f"The backup is damaged: {key} is missing or torn. Nothing was changed.")
        digest = hashlib.sha256()
        async for piece in self.objects.read(key, 0, part.bytes):
            digest.update(piece)
        if digest.hexdigest() != part.sha256:
            raise BackupRefused(
                f"The backup is damaged: {key} has other bytes than were stored. Nothing was changed."
            )
        found = 0
        async for data in self.unpack(key, part):
            found += data.count(b"\n")
        if lines is not None and found != lines:
            raise BackupRefused(
                f"The backup is damaged: {key} has {found} rows instead of {lines}. Nothing was changed."
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
        try:
            size = await self.objects.size(NAME)
        except (StoreUnavailable, ValueError) as error:
            raise BackupRefused(
                f"{self.place} can't be read: name the folder or the URL of a backup."
            ) from error
        if size is None:
            raise BackupRefused(f"No backup is in {self.place}, or it was never finished: it has no {NAME}.")
        if size > LARGEST:
            raise BackupRefused(f"{NAME} in {self.place} has {size} bytes: it is no manifest of a backup.")
        text = b"".join([piece async for piece in self.objects.read(NAME, 0, size)])
        try:
            return read_manifest(text)
        except (ValueError, RecursionError) as error:
            raise BackupRefused(
                f"{NAME} in {self.place} can't be read: a newer version made it, or it is damaged."
            ) from error


def _not_gzip(key: str) -> BackupRefused:
    return BackupRefused(f"The backup is damaged: {key} is not one whole gzip stream. Nothing was changed.")


async def _compressed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    deflate = zlib.compressobj(_LEVEL, wbits=_GZIP)
    async for chunk in chunks:
        if piece := deflate.compress(chunk):
            yield piece
    yield deflate.flush()
