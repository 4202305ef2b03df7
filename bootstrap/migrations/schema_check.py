"""Checks that the program can work with the database: schema, rights, writes."""

from typing import Any

import asyncpg

from bootstrap.migrations.grants import NEEDED, WITHHELD
from bootstrap.migrations.lineage import REVISION, SchemaStatus, our_history
from shared.db.database import Database
from shared.db.models import metadata
from shared.errors import DatabaseUnavailable, Outage

_AS_OUTAGE = {SchemaStatus.NOT_MIGRATED: Outage.NOT_MIGRATED, SchemaStatus.TOO_NEW: Outage.TOO_NEW}
_CONDITION = """
    SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class'),
           current_setting('transaction_read_only') = 'on' AS is_read_only,
           EXISTS (
               SELECT FROM unnest($1::text[], $2::text[]) AS needed (name, privilege)
               JOIN pg_namespace n ON n.nspname = split_part(needed.name, '.', 1)
               JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = split_part(needed.name, '.', 2)
               WHERE NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, needed.privilege)
           ) AS lacks_rights
    FROM alembic_version
"""


async def condition(database: Database) -> Outage | None:
    """Return why the program can't work with the database; None if it can.

    On a read-only database all connections are replaced, because it may have become a standby.
    """
    tables, privileges = zip(*_needed(), strict=True)
    try:
        found = await database.ask(_CONDITION, tables, privileges)
    except DatabaseUnavailable as error:
        return error.outage
    except asyncpg.UndefinedTableError:
        return Outage.NOT_MIGRATED
    if (outage := _mismatch_of(found)) is not None:
        return outage
    if found["is_read_only"]:
        database.renew()
        return Outage.READ_ONLY
    return Outage.NO_RIGHTS if found["lacks_rights"] else None


async def schema_mismatch(database: Database) -> Outage | None:
    """Return why the program can't work with the database's schema; None if it can, or if that is unknown."""
    try:
        return _mismatch_of(await database.ask(REVISION))
    except asyncpg.UndefinedTableError:
        return Outage.NOT_MIGRATED
    except DatabaseUnavailable:
        return None


def _mismatch_of(found: Any) -> Outage | None:
    revision, comment = (found[0], found[1]) if found is not None else (None, None)
    return _AS_OUTAGE.get(our_history().status_of(revision, comment))


def _needed() -> list[tuple[str, str]]:
    """Return the rights that the application's role needs, as names of tables and of privileges."""
    return [
        (name, privilege)
        for name in metadata.tables
        for privilege in NEEDED
        if privilege not in WITHHELD.get(name, ())
    ]
