"""The objects of the store in a backup: which they are, and their bytes, each compared with its digest."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

from pydantic import ValidationError

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import FilesPart, ListedObject, Part
from domains.files.gateway.store import ObjectFiles
from shared.errors import AppError
from shared.streams import Chunk

LISTING = "files.jsonl.gz"
AT_ONCE = 4
"""Objects that are copied at the same time; each holds a few MiB."""

_LONGEST_LINE = 4096


class OtherBytes(Exception):
    """An object has other bytes than were stored under its key."""


async def objects_in(archive: Archive, listing: Part) -> AsyncIterator[ListedObject]:
    """Yield the objects that a backup lists.

    Raises:
        BackupRefused: a line can't be read.
    """
    rest = b""
    async for chunk in archive.unpack(LISTING, listing):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield _listed(line)
        if len(rest) > _LONGEST_LINE:
            break
    if rest:
        yield _listed(rest)


def _listed(line: bytes) -> ListedObject:
    try:
        return ListedObject.model_validate_json(line)
    except ValidationError as error:
        raise BackupRefused(
            f"The backup is damaged: {LISTING} has a line that names no object. Nothing was changed."
        ) from error


async def checked(pieces: AsyncIterator[Chunk], sha256: str | None) -> AsyncIterator[Chunk]:
    """Pass an object through; refuse its end when these are not the bytes that were once stored.

    Raises OtherBytes.
    """
    digest = hashlib.sha256()
    async for piece in pieces:
        digest.update(piece)
        yield piece
    if sha256 is not None and digest.hexdigest() != sha256:
        raise OtherBytes


async def at_once(
    items: AsyncIterator[ListedObject], work: Callable[[ListedObject], Awaitable[None]]
) -> None:
    """Do `work` for each item, a few at the same time; the first failure ends all."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: ListedObject) -> None:
        try:
            await work(item)
        finally:
            slots.release()

    try:
        async with asyncio.TaskGroup() as group:
            async for item in items:
                await slots.acquire()
                group.create_task(one(item))
    except* (AppError, BackupRefused) as failures:
        raise failures.exceptions[0] from None


class BackedUpObjects:
    """Reads a backup's objects: into a store, or only to see that they are whole."""

    def __init__(self, archive: Archive, files: FilesPart | None) -> None:
        self._archive = archive
        self._files = files
        self._absent = set(files.absent) if files is not None else set()
        self._count = self._bytes = 0

    async def verify(self) -> None:
        """Read every object to its end.

        Raises:
            BackupRefused: one is missing or has other bytes, or there are more or fewer than the manifest counts.
        """
        if self._files is None:
            return
        self._count = self._bytes = 0
        await at_once(objects_in(self._archive, self._files.listing), self._verify_one)
        if (self._count, self._bytes) != (self._files.count, self._files.bytes):
            raise BackupRefused(
                f"The backup is damaged: {LISTING} names other objects than were counted. Nothing was changed."
            )

    async def copy_to(self, store: ObjectFiles) -> None:
        """Put every object into a store.

        Raises:
            BackupRefused: one has changed since it was verified.
        """
        if self._files is not None:
            await at_once(
                objects_in(self._archive, self._files.listing), lambda listed: self._copy_one(listed, store)
            )

    async def _verify_one(self, listed: ListedObject) -> None:
        if listed.storage_key in self._absent:
            return
        self._count += 1
        self._bytes += listed.size
        if await self._archive.objects.size(listed.key) != listed.size:
            raise BackupRefused(
                f"The backup is damaged: {listed.key} is missing or torn. Nothing was changed."
            )
        try:
            async for _ in self._pieces(listed):
                pass
        except OtherBytes as error:
            raise BackupRefused(
                f"The backup is damaged: {listed.key} has other bytes than were stored. Nothing was changed."
            ) from error

    async def _copy_one(self, listed: ListedObject, store: ObjectFiles) -> None:
        if listed.storage_key in self._absent:
            return
        try:
            await store.put(listed.storage_key, self._pieces(listed))
        except OtherBytes as error:
            raise BackupRefused(
                f"{listed.key} was changed while it was restored. The database was left empty."
            ) from error

    def _pieces(self, listed: ListedObject) -> AsyncIterator[Chunk]:
        return checked(self._archive.objects.read(listed.key, 0, listed.size), listed.sha256)
