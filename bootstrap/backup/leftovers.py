"""Objects that a restore adds to the store before its rows are committed.

Their keys are written into the store first. After an interrupted restore, the next one into the same database deletes
the objects that no row names.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from bootstrap.backup.errors import BackupRefused
from domains.files.gateway.store import ObjectFiles
from domains.files.repository.objects import OBJECTS_IN_USE

_IDENTITY = """
    SELECT system_identifier || '-' || oid FROM pg_control_system(), pg_database WHERE datname = current_database()
"""
_BATCH = 500


async def note_of(connection: Any) -> str:
    """Return the key of the object that lists what a restore into this database adds: a JSON string on each line.

    Several databases may share a store.
    """
    return f"restoring/{await connection.fetchval(_IDENTITY)}.jsonl"


async def note(connection: Any, store: ObjectFiles, keys: AsyncIterator[str]) -> None:
    """Record the objects that are about to be added."""

    async def lines() -> AsyncIterator[bytes]:
        async for key in keys:
            yield json.dumps(key).encode() + b"\n"

    await store.put(await note_of(connection), lines())


async def forget(connection: Any, store: ObjectFiles) -> None:
    """Keep all added objects, because the rows that name them are committed."""
    await store.delete(await note_of(connection))


async def clear(connection: Any, store: ObjectFiles) -> int:
    """Delete objects of an interrupted restore that no row names; return their number.

    Only while nothing else runs: an upload may be about to name an object.
    """
    place = await note_of(connection)
    size = await store.size(place)
    if size is None:
        return 0
    deleted = 0
    async for keys in _noted(store, place, size):
        for key in sorted(set(keys) - await _named(connection, keys)):
            if await store.size(key) is not None:
                deleted += 1
            await store.delete(key)  # including an entry that a killed process wrote incompletely
    await store.delete(place)
    return deleted


async def _named(connection: Any, keys: list[str]) -> set[str]:
    try:
        return {row["storage_key"] for row in await connection.fetch(OBJECTS_IN_USE, keys)}
    except asyncpg.UndefinedTableError:
        return set()  # a database that was never migrated names nothing


async def _noted(store: ObjectFiles, place: str, size: int) -> AsyncIterator[list[str]]:
    rest, batch = b"", list[str]()
    async for piece in store.read(place, 0, size):
        *lines, rest = (rest + bytes(piece)).split(b"\n")
        batch += [_key(line, place) for line in lines]
        while len(batch) >= _BATCH:
            yield batch[:_BATCH]
            del batch[:_BATCH]
    if batch:
        yield batch


def _key(line: bytes, place: str) -> str:
    try:
        key = json.loads(line)
    except ValueError:
        key = None
    if not isinstance(key, str):
        raise BackupRefused(
            f"{place} in the store can't be read: it lists what an interrupted restore has added. Nothing was changed."
        )
    return key
