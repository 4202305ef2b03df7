"""Restoring a backup: into an empty database, all rows or none, verified before anything is thrown away."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import Manifest, fingerprints
from bootstrap.backup.objects import BackedUpObjects
from bootstrap.backup.saving import owner_url
from bootstrap.backup.tables import connect, load, quoted, schemas_of, tables_of
from bootstrap.backup.verifying import verify
from bootstrap.compose import compose, start, stop
from bootstrap.container import offers
from bootstrap.migrate import knows, migrate
from bootstrap.settings import Settings
from domains.files.gateway.store import ObjectFiles

_RUNNING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'tulou%'
"""

_RENAMED = {"TULOU_TOKEN_KEY": "TULOU_TOKEN_KEYS"}
"""Secrets that older backups know by another name."""


@dataclass
class Restored:
    """What was restored, and what the operator should know."""

    manifest: Manifest
    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


async def restore(settings: Settings, place: str, *, replace: bool) -> Restored:
    """Put a backup's rows and objects in place. The program must not run meanwhile.

    Raises:
        BackupRefused: it can't be restored; nothing was changed unless the sentence says so.
    """
    archive = Archive(settings, place)
    manifest = await archive.manifest()
    if not knows(settings, manifest.revision):
        raise BackupRefused(
            f"The backup was taken by another version of the program ({manifest.program}, migration"
            f" {manifest.revision}), which this one doesn't know. Restore it with that version or a newer one."
        )
    await _check_room(settings, replace=replace)
    await verify(settings, place)
    await _make_room(settings, replace=replace)
    await asyncio.to_thread(migrate, settings, revision=manifest.revision, grants=False)
    await _load(settings, archive, manifest)
    await asyncio.to_thread(migrate, settings, grants=False)
    restored = Restored(manifest, await _recover(settings), _changed_secrets(settings, manifest))
    # Only now may the application's role see anything.
    await asyncio.to_thread(migrate, settings)
    return restored


async def _check_room(settings: Settings, *, replace: bool) -> None:
    """Say at once what would be found out after reading the whole backup."""
    connection = await connect(owner_url(settings), name="tulou-restore")
    try:
        await _refuse_unless_free(connection, replace=replace)
    finally:
        await connection.close()


async def _refuse_unless_free(connection: Any, *, replace: bool) -> None:
    if running := await connection.fetchval(_RUNNING):
        raise BackupRefused(
            f"The program runs on this database ({running} connections): stop it everywhere first."
        )
    if not replace and await _has_rows(connection):
        raise BackupRefused(
            "The database is not empty. Pass --replace to delete its contents and restore the backup."
        )


async def _make_room(settings: Settings, *, replace: bool) -> None:
    """Leave a database without our schemas."""
    connection = await connect(owner_url(settings), name="tulou-restore")
    try:
        await _refuse_unless_free(connection, replace=replace)
        await connection.execute("BEGIN")
        for schema in await schemas_of(connection):
            await connection.execute(f"DROP SCHEMA {quoted(schema)} CASCADE")
        await connection.execute("DROP TABLE IF EXISTS alembic_version")
        await connection.execute("COMMIT")
    finally:
        await connection.close()


async def _has_rows(connection: Any) -> bool:
    for table in await tables_of(connection):
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table.quoted})"):  # noqa: S608  # the catalogue's
            return True
    return False


async def _load(settings: Settings, archive: Archive, manifest: Manifest) -> None:
    """Load all rows and all objects; the rows commit when the last object is in place."""
    connection = await connect(owner_url(settings), name="tulou-restore")
    try:
        await connection.execute("BEGIN")
        parts = {part.full_name: part for part in manifest.tables}
        tables = await tables_of(connection)
        if {table.full_name: table.columns for table in tables} != {
            name: part.columns for name, part in parts.items()
        }:
            raise BackupRefused(
                "The backup's tables are not those of its migration: they were changed by hand."
                " The database was left empty."
            )
        for table in tables:
            part = parts[table.full_name]
            if await load(connection, table, archive.unpack(part.key, part)) != part.rows:
                raise BackupRefused(
                    f"{table.full_name} has other rows than were saved. The database was left empty."
                )
        for name, value in manifest.sequences.items():
            await connection.execute("SELECT setval($1::text::regclass, $2)", name, value)
        await BackedUpObjects(archive, manifest.files).copy_to(ObjectFiles(settings, settings.data_dir))
        await connection.execute("COMMIT")
    except asyncpg.PostgresError as error:
        raise BackupRefused(f"PostgreSQL refused the rows: {error}. The database was left empty.") from error
    finally:
        connection.terminate()


async def _recover(settings: Settings) -> list[str]:
    """Let each domain undo what was true only when the backup was taken; as the owner, before anybody else."""
    as_owner = settings.model_copy(
        update={"database_url": settings.database_owner_url or settings.database_url}
    )
    container = compose(as_owner)
    await start(container)
    try:
        return [await recovery.recover() for recovery in offers(container, "recovery").values()]
    finally:
        await stop(container)


def _changed_secrets(settings: Settings, manifest: Manifest) -> list[str]:
    here = fingerprints(settings)
    return [
        f"{name} is not what it was when the backup was taken. docs/backups.md says what that means."
        for name, value in manifest.secrets.items()
        if here.get(_RENAMED.get(name, name)) != value
    ]
