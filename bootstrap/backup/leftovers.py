"""Objects that a restore adds to the store before its rows are there, and what an interrupted one leaves of them.

Their keys are written into the store first. Whoever restores next into the same database deletes those that no row of
it names.
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
    """Write down which objects are about to be added."""

    async def lines() -> AsyncIterator[bytes]:
        async for key in keys:
            yield json.dumps(key).encode() + b"\n"

    await store.put(await note_of(connection), lines())


async def forget(connection: Any, store: ObjectFiles) -> None:
    """Keep all that was added: the rows that name it are committed."""
    await store.delete(await note_of(connection))


async def clear(connection: Any, store: ObjectFiles) -> int:
    """Delete what an interrupted restore has added and no row of the database names; return how many objects.

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
            await store.delete(key)  # also what a killed process has written half
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
