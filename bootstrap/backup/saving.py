"""Taking a backup: one snapshot of the database, then every object that it names, then the manifest."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import asyncpg

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import FilesPart, ListedObject, Manifest, Part, TablePart, fingerprints
from bootstrap.backup.objects import LISTING, OtherBytes, at_once, checked, objects_in
from bootstrap.backup.tables import Rows, SqlTable, connect, sequences_of, tables_of
from bootstrap.settings import Settings
from domains.files.gateway.store import ObjectFiles
from domains.files.public import ERASING
from domains.files.repository.objects import NAMED_OBJECTS

_PATIENCE = "10s"
_NO_PART = Part(bytes=0, sha256="0" * 64)
"""What stands for a part until it is written."""


async def save(settings: Settings, place: str, *, with_files: bool) -> Manifest:
    """Take a backup into `place`, which must be empty.

    Raises:
        BackupRefused: it can't be taken.
    """
    archive = Archive(settings, place)
    await archive.refuse_unless_empty()
    holder = await connect(owner_url(settings), name="tulou-backup")
    try:
        await _hold_erasures(holder)
        return await _save(settings, archive, with_files=with_files)
    finally:
        holder.terminate()


def owner_url(settings: Settings) -> str:
    """Return where the database is, as the role that may read and replace everything."""
    url = settings.database_owner_url or settings.database_url
    if url is None:
        raise BackupRefused("TULOU_DATABASE_URL is not set: there is no database.")
    return url.get_secret_value()


async def _hold_erasures(connection: Any) -> None:
    """Keep workers from deleting objects until this connection ends; it also keeps two backups apart."""
    await connection.execute(f"SET lock_timeout = '{_PATIENCE}'")
    try:
        await connection.execute(f"SELECT pg_advisory_lock({ERASING})")
    except asyncpg.LockNotAvailableError as error:
        raise BackupRefused("Another backup is under way.") from error


async def _save(settings: Settings, archive: Archive, *, with_files: bool) -> Manifest:
    connection = await connect(owner_url(settings), name="tulou-backup")
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        manifest = await _save_database(connection, settings, archive)
        listing = await archive.pack(LISTING, _named(connection)) if with_files else None
    finally:
        connection.terminate()
    if listing is not None:
        manifest.files = await _Copy(archive, ObjectFiles(settings, settings.data_dir)).all(listing)
    await archive.seal(manifest)
    return manifest


async def _save_database(connection: Any, settings: Settings, archive: Archive) -> Manifest:
    try:
        revision = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError as error:
        raise BackupRefused("The database was never migrated: there is nothing to back up.") from error
    return Manifest(
        program=version("tulou"),
        revision=revision,
        postgres=await connection.fetchval("SELECT current_setting('server_version_num')::int / 10000"),
        taken_at=datetime.now(UTC),
        tables=[await _save_table(connection, archive, table) for table in await tables_of(connection)],
        sequences=await sequences_of(connection),
        files=None,
        secrets=fingerprints(settings),
    )


async def _save_table(connection: Any, archive: Archive, table: SqlTable) -> TablePart:
    rows = Rows(connection, table)
    saved = TablePart(
        **_NO_PART.model_dump(), schema_name=table.schema, name=table.name, columns=table.columns, rows=0
    )
    packed = await archive.pack(saved.key, rows.passing())
    return saved.model_copy(update={"rows": rows.count, **packed.model_dump()})


async def _named(connection: Any) -> AsyncIterator[bytes]:
    """Yield a line of JSON for each object that the snapshot names."""
    for statement in NAMED_OBJECTS:
        async for record in connection.cursor(statement.sql, *statement.arguments({}), prefetch=500):
            yield statement.row(record).model_dump_json().encode() + b"\n"


class _Copy:
    """Copies objects into the backup, checking each against its digest."""

    def __init__(self, archive: Archive, store: ObjectFiles) -> None:
        self._archive = archive
        self._store = store
        self._done = FilesPart(count=0, bytes=0, absent=[], listing=_NO_PART)

    async def all(self, listing: Part) -> FilesPart:
        """Copy what the backup lists."""
        await at_once(objects_in(self._archive, listing), self._one)
        return self._done.model_copy(update={"listing": listing})

    async def _one(self, named: ListedObject) -> None:
        if await self._store.size(named.storage_key) != named.size:
            self._done.absent.append(named.storage_key)
            return
        try:
            pieces = checked(self._store.read(named.storage_key, 0, named.size), named.sha256)
            await self._archive.objects.put(named.key, pieces)
        except OtherBytes:
            self._done.absent.append(named.storage_key)
            return
        self._done.count += 1
        self._done.bytes += named.size
