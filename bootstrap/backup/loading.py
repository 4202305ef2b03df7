"""Replaces the contents of a database by those of a backup, in one transaction.

The current schemas are renamed, which other sessions do not see; the backup's are created, loaded, migrated and
corrected under the usual names; then the renamed ones are dropped. All of it takes effect with the commit. If the
transaction ends before, PostgreSQL rolls it back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bootstrap.backup.archive import Archive
from bootstrap.backup.compatibility import SchemaCompatibility, rows_of
from bootstrap.backup.errors import BackupRefused, Uncertain
from bootstrap.backup.exclusive import NAME, refuse_if_running, require_lock
from bootstrap.backup.leftovers import note
from bootstrap.backup.manifest import FilesPart, ListedObject, TablePart
from bootstrap.backup.objects import BackedUpObjects, OtherBytes, at_once, named_objects, objects_in
from bootstrap.backup.tables import SqlTable, load, quoted, referring_to, schemas_of, tables_of
from bootstrap.backup.verifying import Verified
from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer, exports, sole_export
from bootstrap.migrations.runner import migrate_inside, run_in_transaction
from bootstrap.runtime.current_operator import current_operator
from bootstrap.settings.model import Settings
from domains.files.errors import StoreFull, StoreUnavailable
from domains.files.gateway.store import ObjectFiles
from shared.db.transaction import require_transaction
from shared.errors import DatabaseBusy, DatabaseUnavailable, Outage
from shared.outages import reason_of

Say = Callable[[str], None]
RESTORED = "database_restored"
"""Kind of a restore in the audit log."""

_SESSION = f"""
    SELECT set_config('application_name', '{NAME}', false), set_config('statement_timeout', '0', true),
           set_config('lock_timeout', '60s', true), set_config('idle_in_transaction_session_timeout', '0', true),
           (SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout')
"""  # noqa: S608  # no input in it


@dataclass
class Lost:
    """Parts of the backup that could not be restored."""

    tables: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    consequences: list[str] = field(default_factory=list)


@dataclass
class Loading:
    """One restore, from the open transaction to its commit."""

    settings: Settings
    archive: Archive
    store: ObjectFiles
    verified: Verified
    compatibility: SchemaCompatibility
    holder: Any
    say: Say
    skip_damaged: bool
    lost: Lost = field(default_factory=Lost)
    done: list[str] = field(default_factory=list)
    is_committed: bool = False

    async def run(self) -> None:
        """Load everything and commit.

        Raises:
            BackupRefused: it can't be restored, and nothing was changed but that objects were added.
            Uncertain: the connection was lost while it committed.
        """
        # A step that may still roll back is not reported.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        container = compose(_as_owner(self.settings))
        await start(container)
        is_loaded = False
        try:
            async with container.database().transaction():
                await self._replace(container)
                is_loaded = True
            self.is_committed = True
        except asyncio.CancelledError:
            if is_loaded:
                raise Uncertain from None
            raise
        except DatabaseUnavailable as error:
            if is_loaded and error.outage is Outage.DOWN and not isinstance(error, DatabaseBusy):
                raise Uncertain from error
            raise BackupRefused(f"{_why(error)} Nothing was changed.") from error
        except (asyncpg.PostgresError, DBAPIError) as error:
            raise BackupRefused(
                f"PostgreSQL refused the rows: {getattr(error, 'orig', None) or error}. Nothing was changed."
            ) from error
        finally:
            await stop(container)

    async def _replace(self, container: TulouContainer) -> None:
        transaction = require_transaction()
        # The program is stopped, so the rules for the order of locks do not apply.
        transaction.is_exclusive = True
        driver = await transaction.connection()
        await driver.execute(_SESSION)
        # The old schemas stay until the end, so that a rollback restores them without copying.
        aside = await _rename_schemas(driver)
        # The backup's own version first: its rows fit only that schema.
        await self._migrate(self.compatibility.revision)
        await self._load(driver, aside)
        await self._add_objects(driver)
        await self._migrate("head")
        if self.lost.objects:
            self.lost.consequences = await container.files.losses().forget(self.lost.objects)
        for recovery in exports(container, "recovery").values():
            self.done.append(await recovery.recover(self.verified.manifest.taken_at))
        audit_log = sole_export(container, "audit_log")
        taken_at = self.verified.manifest.taken_at.isoformat()
        await audit_log.note(RESTORED, current_operator(), taken_at=taken_at)
        for schema in aside:
            await driver.execute(f"DROP SCHEMA {quoted(schema)} CASCADE")
        # Again for the grants, which need the final tables.
        await self._migrate("head", grants=True)
        # Checked once more right before the commit: a process may have been started meanwhile.
        await refuse_if_running(driver)
        require_lock(self.holder)

    async def _migrate(self, revision: str, *, grants: bool = False) -> None:
        """Run migrations in the open transaction."""

        def migrated(connection: Connection) -> None:
            migrate_inside(connection, self.settings, revision=revision, grants=grants)

        await run_in_transaction(await require_transaction().connection(), migrated)

    async def _load(self, driver: Any, aside: list[str]) -> None:
        manifest = self.verified.manifest
        tables = [table for table in await tables_of(driver) if table.schema not in aside]
        parts = self.compatibility.parts(tables)
        left_out = await referring_to(driver, self.verified.damage.tables)
        for table in tables:
            if table.full_name in left_out:
                self.lost.tables.append(f"{table.full_name} ({parts[table.full_name].rows} rows)")
            else:
                await self._load_table(driver, table, parts[table.full_name])
        for name, value in manifest.sequences.items():
            if not self.compatibility.is_newer or await driver.fetchval("SELECT to_regclass($1::text)", name):
                await driver.execute("SELECT setval($1::text::regclass, $2)", name, value)
        self.say(f"Loaded {sum(part.rows for part in manifest.tables)} rows.")

    async def _load_table(self, driver: Any, table: SqlTable, part: TablePart) -> None:
        rows = rows_of(part, table, self.archive.unpack(part.key, part))
        if await load(driver, table, rows) != part.rows:
            raise BackupRefused(f"{table.full_name} has other rows than were saved. Nothing was changed.")

    async def _add_objects(self, driver: Any) -> None:
        files = self.verified.manifest.files
        if files is None:
            return
        with _store_named(self.store):
            await note(driver, self.store, self._keys_to_add(driver))
            await self._copy_objects(driver, files)
        self.say(f"Added the objects of {files.count} files and renditions.")

    async def _copy_objects(self, driver: Any, files: FilesPart) -> None:
        objects = BackedUpObjects(self.archive, files)

        async def add(listed: ListedObject) -> None:
            try:
                await objects.copy(listed, self.store)
            except OtherBytes as error:
                if not self.skip_damaged:
                    raise BackupRefused(
                        f"{listed.key} was changed while it was restored. Nothing was changed."
                    ) from error
                self.lost.objects.append(listed.storage_key)

        await at_once(self._objects(driver), add)

    async def _keys_to_add(self, driver: Any) -> AsyncIterator[str]:
        async for listed in self._objects(driver):
            if await self.store.size(listed.storage_key) is None:
                yield listed.storage_key

    async def _objects(self, driver: Any) -> AsyncIterator[ListedObject]:
        """Yield the objects in the backup's list; if the list is damaged, the objects that its rows name."""
        files = self.verified.manifest.files
        if files is None:
            return
        absent = set(files.absent)
        has_listing = self.verified.damage.has_listing
        source = objects_in(self.archive, files.listing) if has_listing else named_objects(driver)
        async for listed in source:
            if listed.storage_key not in absent:
                yield listed


@contextmanager
def _store_named(store: ObjectFiles) -> Iterator[None]:
    """Describe the store and why it could not be written to."""
    try:
        yield
    except (StoreFull, StoreUnavailable) as error:
        where = store.folder or "TULOU_FILES_STORE_URL"
        reason = "has no space left" if isinstance(error, StoreFull) else "can't be read or written to"
        raise BackupRefused(f"The file store ({where}) {reason}. Nothing was changed.") from error


def _why(error: DatabaseUnavailable) -> str:
    if isinstance(error, DatabaseBusy):
        return f"Another session holds a lock on this database: {reason_of(error)}. End that session."
    if error.outage is Outage.DOWN:
        return "The connection to PostgreSQL was lost."
    if error.outage is Outage.DISK_FULL:
        return f"PostgreSQL's disk is full: {reason_of(error)}. It holds the old and the restored data until the end."
    return f"PostgreSQL refused: {reason_of(error)}."


async def _rename_schemas(driver: Any) -> list[str]:
    """Give the schemas in use names of their own, in this transaction; return these."""
    aside = []
    for schema in await schemas_of(driver):
        oid = await driver.fetchval("SELECT oid FROM pg_namespace WHERE nspname = $1", schema)
        aside.append(f"replaced_{oid}")
        await driver.execute(f"ALTER SCHEMA {quoted(schema)} RENAME TO {quoted(aside[-1])}")
    if await driver.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
        await driver.execute("DELETE FROM alembic_version")  # others see it until the commit
        # No backup was taken yet of what the database is going to have.
        await driver.execute("COMMENT ON COLUMN alembic_version.version_num IS NULL")
    return aside


def _as_owner(settings: Settings) -> Settings:
    """Return settings with the owner's role, because the application's role has no rights yet."""
    return settings.model_copy(update={"database_url": settings.database_owner_url or settings.database_url})
