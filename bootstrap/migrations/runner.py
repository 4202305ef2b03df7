"""Migrates a database to the latest revision."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from bootstrap.diagnosis.database_failures import FAILURES, failure_of_owner
from bootstrap.migrations.lineage import SchemaStatus, our_history, sentence_about
from bootstrap.settings.model import Settings, SettingsError
from shared.outages import outage_of, sqlstate_of

FOLDER = Path(__file__).parent
FILE_NAMES = "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s_%%(rev)s"
"""File names of new migrations. They include the revision, because Alembic overwrites a file of the same name."""
ONE_AT_A_TIME = 7_483_920
"""Key of the advisory lock that keeps two runners apart."""

HELD_UP = {"55P03", "40P01"}
"""SQLSTATEs of a migration that was blocked: no lock in time, or chosen as the victim of a deadlock."""
PAUSE = 1.0
"""Pause in seconds after a failed lock, for the sessions that waited behind it."""
LOOK_AGAIN = 0.2
"""Seconds between two looks whether another runner has ended."""


class AnotherRunner(SettingsError):
    """Another `tulou migrate` has been running on this database for longer than TULOU_MIGRATION_PATIENCE."""

    def __init__(self) -> None:
        super().__init__(f"{type(self).__doc__} When it has ended, run `tulou migrate --check`.")


class MigratedByNewer(Exception):
    """A newer version has migrated the database: `revision` is none of this version's, `comment` the table's."""

    def __init__(self, revision: str, comment: str | None) -> None:
        super().__init__(revision)
        self.revision = revision
        self.comment = comment


@dataclass(frozen=True)
class Schema:
    """A database's schema: its last migration, whether this version works with it, and what it lacks."""

    revision: str | None
    status: SchemaStatus
    sentence: str
    """Warnings for the operator."""

    missing: list[str]
    """The migrations that it lacks, the next one first."""


def migrate(settings: Settings, *, revision: str = "head", grants: bool = True) -> str | None:
    """Apply what is missing, as the owner's role; grant the application's role its rights.

    A database that a newer version has migrated stays as it is: the sentence that is returned says so.

    Raises:
        SettingsError: this version doesn't fit the database's newer schema, or a migration failed.
    """
    config = alembic_config(settings)
    config.attributes["grants"] = grants
    try:
        while not _upgraded(config, revision):
            if time.monotonic() > config.attributes["until"]:
                raise SettingsError(
                    "The database can't be migrated now: other transactions, which pg_stat_activity lists, blocked"
                    f" it for {settings.migration_patience:g} s (TULOU_MIGRATION_PATIENCE). A backup blocks indexes."
                    " What was applied stays; run `tulou migrate` again when they have ended."
                )
            time.sleep(PAUSE)
    except MigratedByNewer as newer:
        schema = _schema(config, newer.revision, newer.comment)
        if not schema.status.fits:
            raise SettingsError(schema.sentence) from newer
        return schema.sentence
    except CommandError as error:
        raise SettingsError(f"The database can't be migrated: {error}.") from error
    except (PendingRollbackError, *FAILURES) as error:
        raise SettingsError(_why_it_failed(settings, error)) from error
    return None


def migrate_inside(
    connection: Connection, settings: Settings, *, revision: str = "head", grants: bool = False
) -> None:
    """Apply what is missing in the transaction that is open on a connection of the owner's; commit nothing.

    The caller holds `ONE_AT_A_TIME`.

    Raises:
        DBAPIError: a migration failed, or can't run inside a transaction.
    """
    config = alembic_config(settings)
    config.attributes["connection"] = connection
    config.attributes["grants"] = grants
    command.upgrade(config, revision)


async def run_in_transaction(connection: Any, function: Callable[[Connection], None]) -> None:
    """Call `function` with SQLAlchemy's view of an asyncpg connection that has a transaction open.

    SQLAlchemy finds the transaction open, so that its own is a savepoint in it.
    """

    async def given() -> Any:
        return connection

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=given, poolclass=StaticPool, pool_reset_on_return=None
    )
    async with engine.begin() as seen:
        await seen.run_sync(function)
    for name in ("json", "jsonb"):  # SQLAlchemy has set codecs of its own
        await connection.reset_type_codec(name, schema="pg_catalog")


def look(settings: Settings) -> Schema:
    """Return the state of the database's schema.

    Raises:
        SettingsError: the database can't be asked.
    """
    config = alembic_config(settings)
    config.attributes["asking"] = found = list[tuple[str | None, str | None]]()
    try:
        command.current(config)
    except CommandError as error:
        raise SettingsError(f"The database can't be read: {error}.") from error
    except FAILURES as error:
        raise SettingsError(failure_of_owner(settings, error)) from error
    return _schema(config, *found[0])


def _why_it_failed(settings: Settings, error: Exception) -> str:
    is_cut = isinstance(error, DBAPIError) and error.statement is not None and sqlstate_of(error) is None
    if is_cut or isinstance(error, PendingRollbackError):
        return "The database closed the connection of a migration. What was applied stays; run `tulou migrate` again."
    if outage_of(error) is not None:
        return failure_of_owner(settings, error)
    said = error.orig if isinstance(error, DBAPIError) else error
    return (
        f"Migrating failed: {said}. The migrations before it stay. When the cause is fixed, run `tulou"
        " migrate` again: it begins with the one that failed, whose finished parts may stay or be done again."
    )


def _schema(config: Config, revision: str | None, comment: str | None) -> Schema:
    status = our_history().status_of(revision, comment)
    missing = _missing(config, revision) if status is SchemaStatus.NOT_MIGRATED else []
    return Schema(revision, status, sentence_about(status, revision, comment), missing)


def _missing(config: Config, revision: str | None) -> list[str]:
    steps = ScriptDirectory.from_config(config).iterate_revisions("head", revision or "base")
    return [f"{step.revision} {step.doc}" for step in reversed(list(steps))]


def _upgraded(config: Config, revision: str) -> bool:
    """Run it; return whether it succeeded. False: it was blocked and has to be retried."""
    try:
        command.upgrade(config, revision)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in HELD_UP:
            raise
        return False
    return True


def _is_about_a_step(record: logging.LogRecord) -> bool:
    """Whether a log line is about a migration, not about the dialect, which Alembic logs each time."""
    return str(record.msg).startswith("Running")


def alembic_config(settings: Settings) -> Config:
    """Return Alembic's configuration: the owner's URL, timeouts, roles. Raises SettingsError without a database."""
    application = settings.database_url
    if application is None:
        raise SettingsError(
            "TULOU_DATABASE_URL is not set, so there is no database. `tulou dev` (make run) brings one and migrates it"
            " when it starts, `tulou dev --servers` leaves that to you; otherwise set TULOU_DATABASE_URL."
        )
    owner = settings.database_owner_url or application
    logging.getLogger("alembic.runtime.migration").addFilter(_is_about_a_step)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", FILE_NAMES)
    config.attributes["url"] = owner.get_secret_value().replace("postgresql://", "postgresql+asyncpg://", 1)
    roles = [unquote(urlsplit(url.get_secret_value()).username or "") for url in (application, owner)]
    config.attributes["until"] = time.monotonic() + settings.migration_patience
    config.attributes["connect_timeout"] = settings.database_timeout
    config.attributes["lock_timeout"] = f"{settings.migration_lock_wait}s"
    # None on a development machine, where the owner is the application.
    config.attributes["application_role"] = roles[0] if roles[0] != roles[1] else None
    return config
