"""The location of a backup: a folder or an object store. Reads and writes streams with their digests."""

import asyncio
import hashlib
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import LARGEST, NAME, Manifest, Part, read_manifest
from bootstrap.backup.sizes import format_size
from bootstrap.settings.model import Settings
from domains.files.errors import StoreFull, StoreUnavailable
from domains.files.gateway.store import ObjectFiles
from shared.streams import Chunk

UNFINISHED = "unfinished.json"
"""Marker of an unfinished backup, until its manifest is written."""

_GZIP = 31
"""zlib's `wbits` for a gzip stream."""
_LEVEL = 3
_OUT_AT_ONCE = 1 << 20


def objects_at(settings: Settings, place: str, *, make_folder: bool = True) -> ObjectFiles:
    """Open a folder or a URL like the store of files. Without `make_folder` the folder has to exist."""
    url = place if "://" in place else Path(place).absolute().as_uri()
    own = settings.model_copy(update={"files_store_url": url})
    return ObjectFiles(own, Path(place), make_folder=make_folder)


class Archive:
    """The objects of one backup."""

    def __init__(self, settings: Settings, place: str, *, make_folder: bool = True) -> None:
        """`place` is a folder or a URL (s3://bucket/prefix), opened like the store of files."""
        self.place = place
        self.objects = objects_at(settings, place, make_folder=make_folder)
        self.needed = 0
        """Approximate size of the backup in bytes."""
        self._is_new = self.objects.folder is not None and not self.objects.folder.exists()

    async def refuse_unless_empty(self) -> None:
        """Refuse a place that is not empty, so that two backups are never mixed."""
        if self._is_new:
            return
        with self._named():
            is_empty = await self.objects.is_empty()
        if not is_empty:
            raise BackupRefused(
                f"There is something in {self.place} already: a backup needs a place of its own."
            )

    async def begin(self, mark: AsyncIterator[bytes]) -> None:
        """Write which database this unfinished backup belongs to."""
        await self.put(UNFINISHED, mark)

    async def discard(self) -> None:
        """Delete everything that was written since the place was empty."""
        folder = self.objects.folder
        if folder is None:
            keys = [key async for key in self.objects.keys("")]
            for key in keys:
                await self.objects.delete(key)
        elif self._is_new:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        else:
            for path in folder.iterdir():
                if path.is_dir():
                    await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    async def put(self, key: str, pieces: AsyncIterator[Chunk]) -> None:
        """Store a stream. The stream must not raise AppError, which would count as an error of this place."""
        with self._named():
            await self.objects.put(key, pieces)

    async def pack(self, key: str, chunks: AsyncIterator[bytes]) -> Part:
        """Store a stream, compressed."""
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for piece in _compressed(chunks):
                digest.update(piece)
                size += len(piece)
                yield piece

        await self.put(key, counted())
        return Part(bytes=size, sha256=digest.hexdigest())

    async def unpack(self, key: str, part: Part) -> AsyncIterator[bytes]:
        """Yield the unpacked data. Call `verify` first.

        Raises:
            BackupRefused: it is not one whole gzip stream.
        """
        inflate = zlib.decompressobj(_GZIP)
        try:
            async for piece in self.read(key, part.bytes):
                data = inflate.decompress(piece, _OUT_AT_ONCE)
                while data:
                    yield data
                    data = inflate.decompress(inflate.unconsumed_tail, _OUT_AT_ONCE)
            yield inflate.flush()
        except zlib.error as error:
            raise _not_gzip(key) from error
        if not inflate.eof or inflate.unused_data:
            raise _not_gzip(key)

    async def verify(self, key: str, part: Part, *, lines: int | None = None) -> int:
        """Read a packed stream completely; return its unpacked size in bytes.

        Raises:
            BackupRefused: it isn't what was stored, or has not so many lines.
        """
        if await self.size(key) != part.bytes:
            raise BackupRefused(f"The backup is damaged: {key} is missing or truncated. Nothing was changed.")
        digest = hashlib.sha256()
        async for piece in self.read(key, part.bytes):
            digest.update(piece)
        if digest.hexdigest() != part.sha256:
            raise BackupRefused(
                f"The backup is damaged: {key} has other bytes than were stored. Nothing was changed."
            )
        found = size = 0
        async for data in self.unpack(key, part):
            found += data.count(b"\n")
            size += len(data)
        if lines is not None and found != lines:
            raise BackupRefused(
                f"The backup is damaged: {key} has {found} rows instead of {lines}. Nothing was changed."
            )
        return size

    async def size(self, key: str) -> int | None:
        """Return the size of an object of the backup; None when there is none."""
        with self._readable():
            return await self.objects.size(key)

    async def read(self, key: str, size: int) -> AsyncIterator[Chunk]:
        """Yield an object of the backup."""
        with self._readable():
            async for piece in self.objects.read(key, 0, size):
                yield piece

    async def finish(self, manifest: Manifest) -> None:
        """Write the manifest, which completes the backup."""

        async def text() -> AsyncIterator[bytes]:
            yield manifest.model_dump_json(indent=1).encode()

        await self.put(NAME, text())
        with self._named():
            await self.objects.delete(UNFINISHED)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn an error of the store into one about the backup's place: both use the same store classes."""
        try:
            yield
        except (StoreUnavailable, StoreFull) as error:
            raise BackupRefused(self._complaint(is_full=isinstance(error, StoreFull))) from error

    def _complaint(self, *, is_full: bool) -> str:
        if not is_full:
            return f"{self.place} can't be reached or written to."
        about = f": about {format_size(self.needed)} are needed" if self.needed else ""
        return f"The disk of {self.place} has no space left{about}. Nothing of this backup was kept."

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn an error of the store into one about the backup's place, as above."""
        try:
            yield
        except (StoreUnavailable, ValueError) as error:
            raise BackupRefused(
                f"{self.place} can't be read: name the folder or the URL of a backup. Nothing was changed."
            ) from error

    async def manifest(self) -> Manifest:
        """Read the manifest."""
        size = await self.size(NAME)
        if size is None:
            raise BackupRefused(
                f"No backup is in {self.place}, or the backup was never completed: it has no {NAME}."
            )
        if size > LARGEST:
            raise BackupRefused(f"{NAME} in {self.place} has {size} bytes, so it is not a manifest.")
        text = b"".join([bytes(piece) async for piece in self.read(NAME, size)])
        try:
            return read_manifest(text)
        except (ValueError, RecursionError) as error:
            raise BackupRefused(
                f"{NAME} in {self.place} can't be read: a newer version made it, or it is damaged."
            ) from error


def _not_gzip(key: str) -> BackupRefused:
    return BackupRefused(
        f"The backup is damaged: {key} is not one complete gzip stream. Nothing was changed."
    )


async def _compressed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    deflate = zlib.compressobj(_LEVEL, wbits=_GZIP)
    async for chunk in chunks:
        if piece := deflate.compress(chunk):
            yield piece
    yield deflate.flush()
