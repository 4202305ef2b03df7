"""Taking a backup: one snapshot of the database, then every object that it names, then the manifest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import asyncpg

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import FilesPart, ListedObject, Manifest, Part, TablePart, fingerprints
from bootstrap.backup.objects import LISTING, OtherBytes, at_once, checked, named_objects, objects_in
from bootstrap.backup.retention import Retention, identity_of, mark_of
from bootstrap.backup.sizes import format_size, free_of
from bootstrap.backup.tables import (
    Rows,
    SqlTable,
    bytes_of_tables,
    connect,
    owner_url,
    sequences_of,
    tables_of,
)
from bootstrap.migrations.lineage import (
    REVISION,
    Lineage,
    SchemaStatus,
    lineage_in,
    our_history,
    sentence_about,
)
from bootstrap.settings.model import Settings
from domains.files.gateway.store import ObjectFiles
from domains.files.public import ERASE_LOCK_KEY
from shared.errors import AppError
from shared.streams import Chunk

_PATIENCE = "10s"
_COMPRESSION = 4
"""Bytes of a table for each byte of its rows in a backup, at least."""
_OBJECT_BYTES = """
    SELECT count(*), coalesce(sum(size), 0)::bigint
    FROM (SELECT size FROM files.blobs UNION ALL SELECT size FROM files.renditions WHERE status = 'ready') AS named
"""
_NO_PART = Part(bytes=0, sha256="0" * 64)
"""Placeholder of a part until it is written."""

Say = Callable[[str], None]


def _silent(_sentence: str) -> None:
    """Say nothing."""


async def save(
    settings: Settings,
    place: str,
    *,
    with_files: bool,
    retention: Retention | None = None,
    say: Say = _silent,
) -> Manifest:
    """Take a backup into `place`, which must be empty. A failed backup is deleted.

    With `retention`, interrupted backups are deleted first, and old ones past it if space is short.
    `say` is told of each.

    Raises:
        BackupRefused: it can't be taken.
    """
    archive = Archive(settings, place)
    # Two backups in one folder could be mixed up by a restore.
    await archive.refuse_unless_empty()
    url = owner_url(settings)
    store = ObjectFiles(settings, settings.data_dir, make_folder=False)
    # A connection of its own holds the lock: the snapshot's connection ends before the objects are copied.
    holder = await connect(url, name="tulou-backup")
    try:
        await _hold_erasures(holder)
        needed = await _bytes_needed(holder, store, with_files=with_files)
        if retention is not None:
            for name in await retention.delete_interrupted():
                say(f"Deleted {name}: it was interrupted.")
            for name in await retention.free_space(needed):
                say(f"Deleted {name}: the new backup needs the space.")
        _require_disk_space(archive, needed)
        try:
            await archive.begin(mark_of(identity_of(url)))
            return await _save(settings, archive, store, with_files=with_files)
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(_discard(archive)))
            raise
    finally:
        holder.terminate()


async def _bytes_needed(connection: Any, store: ObjectFiles, *, with_files: bool) -> int:
    """Return the approximate size of the backup in bytes.

    Raises:
        BackupRefused: the store's folder is gone, or the database was never migrated.
    """
    try:
        needed = await bytes_of_tables(connection) // _COMPRESSION
        count, size = await connection.fetchrow(_OBJECT_BYTES)
    except asyncpg.UndefinedTableError as error:
        raise BackupRefused("The database was never migrated: there is nothing to back up.") from error
    if not with_files:
        return needed
    if count and store.folder is not None and not store.folder.is_dir():
        raise BackupRefused(
            f"The folder of the file store is missing: {store.folder} does not exist, and the database names {count}"
            f" objects."
            " Mount it, or set TULOU_DATA_DIR or TULOU_FILES_STORE_URL; --no-files takes a backup without them."
        )
    return needed + int(size)


def _require_disk_space(archive: Archive, needed: int) -> None:
    archive.needed = needed
    folder = archive.objects.folder
    if folder is None or (free := free_of(folder)) >= needed:
        return
    raise BackupRefused(
        f"Too little space for the backup: the disk of {folder} has {format_size(free)} free,"
        f" and about {format_size(needed)} are"
        f" needed: {format_size(needed - free)} are missing."
    )


async def _discard(archive: Archive) -> None:
    with suppress(AppError, OSError):
        await archive.discard()


async def _hold_erasures(connection: Any) -> None:
    """Keep workers from deleting objects until this connection ends; it also keeps two backups apart."""
    await connection.execute(f"SET lock_timeout = '{_PATIENCE}'")
    try:
        await connection.execute(f"SELECT pg_advisory_lock({ERASE_LOCK_KEY})")
    except asyncpg.LockNotAvailableError as error:
        raise BackupRefused("Another backup is running.") from error


async def _save(settings: Settings, archive: Archive, store: ObjectFiles, *, with_files: bool) -> Manifest:
    connection = await connect(owner_url(settings), name="tulou-backup")
    try:
        # One snapshot for all tables, so references between them hold.
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        manifest = await _save_database(connection, settings, archive)
        listing = await archive.pack(LISTING, _named(connection)) if with_files else None
    finally:
        connection.terminate()
    if listing is not None:
        manifest.files = await _Copy(archive, store).all(listing)
    # Last, because a folder without a manifest is not a backup.
    await archive.finish(manifest)
    return manifest


async def _save_database(connection: Any, settings: Settings, archive: Archive) -> Manifest:
    revision, lineage = await _lineage(connection)
    return Manifest(
        program=version("tulou"),
        revision=revision,
        lineage=lineage,
        postgres=await connection.fetchval("SELECT current_setting('server_version_num')::int / 10000"),
        taken_at=datetime.now(UTC),
        tables=[await _save_table(connection, archive, table) for table in await tables_of(connection)],
        sequences=await sequences_of(connection),
        files=None,
        secrets=fingerprints(settings),
    )


async def _lineage(connection: Any) -> tuple[str, Lineage | None]:
    """Return the database's last migration, and which versions fit its schema."""
    try:
        found = await connection.fetchrow(REVISION)
    except asyncpg.UndefinedTableError as error:
        raise BackupRefused("The database was never migrated: there is nothing to back up.") from error
    revision, comment = found or (None, None)
    history = our_history()
    status = history.status_of(revision, comment)
    if revision is None or status is SchemaStatus.TOO_NEW:
        raise BackupRefused(sentence_about(status, revision, comment))
    known = revision in history.revisions
    return revision, history.lineage(revision) if known else lineage_in(comment, revision)


async def _save_table(connection: Any, archive: Archive, table: SqlTable) -> TablePart:
    rows = Rows(connection, table)
    saved = TablePart(
        **_NO_PART.model_dump(), schema_name=table.schema, name=table.name, columns=table.columns, rows=0
    )
    packed = await archive.pack(saved.key, rows.passing())
    return saved.model_copy(update={"rows": rows.count, **packed.model_dump()})


async def _named(connection: Any) -> AsyncIterator[bytes]:
    """Yield a line of JSON for each object that the snapshot names."""
    async for named in named_objects(connection):
        yield named.model_dump_json().encode() + b"\n"


class _Copy:
    """Copies objects into the backup, checking each against its digest."""

    def __init__(self, archive: Archive, store: ObjectFiles) -> None:
        self._archive = archive
        self._store = store
        self._done = FilesPart(count=0, bytes=0, absent=[], listing=_NO_PART)

    async def all(self, listing: Part) -> FilesPart:
        """Copy the objects in the list."""
        await at_once(objects_in(self._archive, listing), self._one)
        return self._done.model_copy(update={"listing": listing})

    async def _one(self, named: ListedObject) -> None:
        with _store_named():
            # The size first: a missing object must not end the backup with an error.
            is_there = await self._store.size(named.storage_key) == named.size
        if not is_there:
            self._done.absent.append(named.storage_key)
            return
        try:
            await self._archive.put(named.key, checked(self._pieces(named), named.sha256))
        except OtherBytes:
            self._done.absent.append(named.storage_key)
            return
        self._done.count += 1
        self._done.bytes += named.size

    async def _pieces(self, named: ListedObject) -> AsyncIterator[Chunk]:
        with _store_named():
            async for piece in self._store.read(named.storage_key, 0, named.size):
                yield piece


@contextmanager
def _store_named() -> Iterator[None]:
    """Distinguish a store that can't be read from a backup that can't be written."""
    try:
        yield
    except AppError as error:
        raise BackupRefused("The file store can't be read. Nothing is kept of this backup.") from error
