"""Objects of the file store in a backup: their list and their bytes, each compared with its digest."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import FilesPart, ListedObject, Part
from domains.files.gateway.store import ObjectFiles
from domains.files.repository.objects import NAMED_OBJECTS
from shared.errors import AppError
from shared.streams import Chunk

LISTING = "files.jsonl.gz"
AT_ONCE = 4
"""Objects that are copied at the same time; each holds a few MiB."""

_LONGEST_LINE = 4096


class OtherBytes(Exception):
    """An object does not match the digest in its key."""


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


async def named_objects(connection: Any) -> AsyncIterator[ListedObject]:
    """Yield the objects that the rows of a database name, as its open transaction sees them."""
    for statement in NAMED_OBJECTS:
        async for record in connection.cursor(statement.sql, *statement.arguments({}), prefetch=500):
            yield ListedObject.model_validate(statement.row(record).model_dump())


async def checked(pieces: AsyncIterator[Chunk], sha256: str | None) -> AsyncIterator[Chunk]:
    """Pass an object through.

    Raises OtherBytes at its end if its digest is wrong.
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
    """Reads a backup's objects, to restore or only to verify them."""

    def __init__(self, archive: Archive, files: FilesPart | None) -> None:
        self._archive = archive
        self._files = files
        self._absent = set(files.absent) if files is not None else set()
        self._count = self._bytes = 0

    async def verify(self, *, damaged: set[str] | None = None) -> None:
        """Read every object to its end. Given a set, put the keys of the store there whose objects are damaged.

        Raises:
            BackupRefused: one is missing or has other bytes, and no set was given, or there are more or fewer than the
                manifest counts.
        """
        if self._files is None:
            return
        self._count = self._bytes = 0

        async def look(listed: ListedObject) -> None:
            try:
                await self._verify_one(listed)
            except BackupRefused:
                if damaged is None:
                    raise
                damaged.add(listed.storage_key)

        await at_once(objects_in(self._archive, self._files.listing), look)
        if (self._count, self._bytes) != (self._files.count, self._files.bytes):
            raise BackupRefused(
                f"The backup is damaged: {LISTING} names other objects than were counted. Nothing was changed."
            )

    async def _verify_one(self, listed: ListedObject) -> None:
        if listed.storage_key in self._absent:
            return
        self._count += 1
        self._bytes += listed.size
        if await self._archive.size(listed.key) != listed.size:
            raise BackupRefused(
                f"The backup is damaged: {listed.key} is missing or incomplete. Nothing was changed."
            )
        try:
            async for _ in self._pieces(listed):
                pass
        except OtherBytes as error:
            raise BackupRefused(
                f"The backup is damaged: {listed.key} has other bytes than were stored. Nothing was changed."
            ) from error

    async def copy(self, listed: ListedObject, store: ObjectFiles) -> None:
        """Put an object into a store, unless the store has it with the right bytes.

        Raises:
            OtherBytes: the backup has other bytes, or none.
        """
        if await _has(store, listed):
            return
        if await self._archive.size(listed.key) != listed.size:
            raise OtherBytes
        await store.put(listed.storage_key, self._pieces(listed))

    def _pieces(self, listed: ListedObject) -> AsyncIterator[Chunk]:
        return checked(self._archive.read(listed.key, listed.size), listed.sha256)


async def _has(store: ObjectFiles, listed: ListedObject) -> bool:
    """Tell whether a store has an object with the bytes that were stored; it is read to its end."""
    if listed.sha256 is None or await store.size(listed.storage_key) != listed.size:
        return False
    try:
        async for _ in checked(store.read(listed.storage_key, 0, listed.size), listed.sha256):
            pass
    except OtherBytes:
        return False
    return True
