"""Exclusive access to a database during a restore, and the checks before it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import Manifest
from bootstrap.backup.tables import connect, owner_url, schemas_of, tables_of
from bootstrap.migrations.runner import ONE_AT_A_TIME
from bootstrap.settings.model import Settings

NAME = "tulou-restore"
"""`application_name` of the connections of a restore."""
CLOSING_SECONDS = 2.0
"""PostgreSQL lists a connection for a moment after its client has closed it, as `tulou backup` has just before."""
RESTORING = 7_483_923
"""Key of the advisory lock that allows one restore at a time."""

_RUNNING = f"""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'tulou%' AND application_name <> '{NAME}'
"""  # noqa: S608  # no input in it
_RIGHTS = """
    SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool AS read_only,
           has_database_privilege(current_database(), 'CREATE') AS may_create,
           coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
                     WHERE oid = to_regclass('alembic_version')), true) AS is_owner,
           EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS has_application
"""
_TAKEN = "SELECT nspname FROM pg_namespace WHERE nspname = ANY($1::text[]) AND NOT nspname = ANY($2::text[])"


def database_name(settings: Settings) -> str:
    """Return the name of the database that a restore would replace."""
    return unquote(urlsplit(owner_url(settings)).path.lstrip("/"))


@asynccontextmanager
async def exclusive_access(settings: Settings) -> AsyncIterator[Any]:
    """Lock out other restores and migrations; yield the connection that holds the locks.

    Raises:
        BackupRefused: one of them is under way.
    """
    holder = await connect(owner_url(settings), name=NAME)
    try:
        if not await holder.fetchval(f"SELECT pg_try_advisory_lock({RESTORING})"):
            raise BackupRefused(
                "Another restore is running on this database. Wait until it ends. Nothing was changed."
            )
        if not await holder.fetchval(f"SELECT pg_try_advisory_lock({ONE_AT_A_TIME})"):
            raise BackupRefused(
                "A migration is running on this database. Wait until it ends. Nothing was changed."
            )
        yield holder
    finally:
        holder.terminate()


async def refuse_if_running(connection: Any) -> None:
    """Refuse to restore while processes of the program are connected."""
    until = time.monotonic() + CLOSING_SECONDS
    while running := await connection.fetchval(_RUNNING):
        if time.monotonic() < until:
            await asyncio.sleep(0.1)
            continue
        raise BackupRefused(
            f"Processes of the program use this database ({running} connections). Stop all of them first."
            " Nothing was changed."
        )


async def check_target(connection: Any, settings: Settings, manifest: Manifest, *, replace: bool) -> None:
    """Check early everything that would stop the restore after the backup was read.

    Raises:
        BackupRefused: the program runs, the database has rows, or the role lacks a right.
    """
    await refuse_if_running(connection)
    application = (
        unquote(urlsplit(settings.database_url.get_secret_value()).username or "")
        if settings.database_url
        else ""
    )
    rights = await connection.fetchrow(_RIGHTS, application)
    if rights["read_only"]:
        raise BackupRefused(
            "The database is read-only. Restore into the one that accepts writes. Nothing was changed."
        )
    if not (rights["may_create"] and rights["is_owner"]):
        raise BackupRefused(
            "The role of TULOU_DATABASE_OWNER_URL may not replace the schemas of this database. Name the role that"
            " runs migrations, which has CREATE on the database. Nothing was changed."
        )
    if not rights["has_application"]:
        raise BackupRefused(
            f"PostgreSQL has no role {application}, which TULOU_DATABASE_URL names. Create it first."
            " Nothing was changed."
        )
    ours = await schemas_of(connection)
    taken = await connection.fetch(_TAKEN, sorted({part.schema_name for part in manifest.tables}), ours)
    if taken:
        raise BackupRefused(
            f"The database has a schema {taken[0]['nspname']} that Tulou did not make. Nothing was changed."
        )
    if not replace and await _has_rows(connection):
        raise BackupRefused(
            "The database is not empty. Pass --replace to delete its contents and restore the backup."
            " Nothing was changed."
        )


async def _has_rows(connection: Any) -> bool:
    for table in await tables_of(connection):
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table.quoted})"):  # noqa: S608  # the catalogue's
            return True
    return False


def require_lock(holder: Any) -> None:
    """Stop when the connection that holds the locks was lost."""
    if holder.is_closed():
        raise BackupRefused("The connection to PostgreSQL was lost. Nothing was changed.")
