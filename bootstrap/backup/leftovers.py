"""Objects that a restore adds to the store before its rows are there, and what an interrupted one leaves of them.

Their keys are written into the store first. Whoever restores next deletes those that no row names.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from bootstrap.backup.errors import BackupRefused
from domains.files.gateway.store import ObjectFiles
from domains.files.repository.objects import OBJECTS_IN_USE

NOTE = "restoring/added.jsonl"
"""Where the keys are written, a JSON string on each line."""

_BATCH = 500


async def note(store: ObjectFiles, keys: AsyncIterator[str]) -> None:
    """Write down which objects are about to be added."""

    async def lines() -> AsyncIterator[bytes]:
        async for key in keys:
            yield json.dumps(key).encode() + b"\n"

    await store.put(NOTE, lines())


async def forget(store: ObjectFiles) -> None:
    """Keep all that was added: the rows that name it are committed."""
    await store.delete(NOTE)


async def clear(connection: Any, store: ObjectFiles) -> int:
    """Delete what an interrupted restore has added and no row of the database names; return how many objects.

    Only while nothing else runs: an upload may be about to name an object.
    """
    size = await store.size(NOTE)
    if size is None:
        return 0
    deleted = 0
    async for keys in _noted(store, size):
        for key in sorted(set(keys) - await _named(connection, keys)):
            if await store.size(key) is not None:
                deleted += 1
            await store.delete(key)  # also what a killed process has written half
    await store.delete(NOTE)
    return deleted


async def _named(connection: Any, keys: list[str]) -> set[str]:
    try:
        return {row["storage_key"] for row in await connection.fetch(OBJECTS_IN_USE, keys)}
    except asyncpg.UndefinedTableError:
        return set()  # a database that was never migrated names nothing


async def _noted(store: ObjectFiles, size: int) -> AsyncIterator[list[str]]:
    rest, batch = b"", list[str]()
    async for piece in store.read(NOTE, 0, size):
        *lines, rest = (rest + bytes(piece)).split(b"\n")
        batch += [_key(line) for line in lines]
        while len(batch) >= _BATCH:
            yield batch[:_BATCH]
            del batch[:_BATCH]
    if batch:
        yield batch


def _key(line: bytes) -> str:
    try:
        key = json.loads(line)
    except ValueError:
        key = None
    if not isinstance(key, str):
        raise BackupRefused(
            f"{NOTE} in the store can't be read: it lists what an interrupted restore has added. Nothing was changed."
        )
    return key
