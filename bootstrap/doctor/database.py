"""Checks of PostgreSQL: connection, role, rights, migrations, indexes, connections, clock."""

import json
from datetime import timedelta

import asyncpg

from bootstrap.container import TulouContainer, domains_of
from bootstrap.diagnosis.errors import CheckFailed, CheckWarning
from bootstrap.diagnosis.places import Place, place_of
from bootstrap.diagnosis.refusals import database_in, refused, role_in
from bootstrap.migrations.grants import NEEDED, WITHHELD
from bootstrap.migrations.lineage import REVISION, SchemaStatus, lineage_in, our_history, sentence_about
from bootstrap.settings.model import Settings

OLDEST_POSTGRES = 160000
DRIFT = timedelta(seconds=5)
CONNECT_PATIENCE = 5.0
"""Time limit in seconds for a connection to PostgreSQL."""


_SERVER = """
    SELECT current_setting('server_version_num')::int AS version, clock_timestamp() AS now,
           current_setting('is_superuser') = 'on' AS is_superuser,
           has_database_privilege(current_database(), 'CREATE') AS may_create,
           pg_is_in_recovery() AS is_replica, current_setting('transaction_read_only') = 'on' AS is_read_only
"""
# Each table with the rights on it that the role has.
_RIGHTS = f"""
    SELECT coalesce(json_object_agg(oid::regclass::text, ARRAY(
        SELECT name FROM unnest('{{{",".join(NEEDED)}}}'::text[]) AS name WHERE has_table_privilege(oid, name)
    ) ORDER BY oid::regclass::text), '{{}}')::text
    FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text = ANY ($1::text[])
"""  # noqa: S608  # no input in it
_INVALID_INDEXES = """
    SELECT ARRAY(
        SELECT oid::regclass::text FROM pg_catalog.pg_class JOIN pg_catalog.pg_index ON indexrelid = oid
        WHERE NOT indisvalid AND relnamespace::regnamespace::text = ANY ($1::text[]) ORDER BY 1
    )
"""


def database_place(settings: Settings) -> Place:
    """Return the address of PostgreSQL in the settings."""
    return place_of("PostgreSQL", "TULOU_DATABASE_URL", _url_of(settings))


async def try_to_connect(settings: Settings) -> None:
    """Connect once, outside the pools, whose errors hide PostgreSQL's own message.

    Raises:
        CheckFailed: PostgreSQL can't be reached or does not let the application's role in.
    """
    url = _url_of(settings)
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_PATIENCE)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise await refused(database_place(settings), url, error) from error
    await connection.close(timeout=CONNECT_PATIENCE)


async def explained(settings: Settings, error: Exception) -> CheckFailed:
    """Tell why a statement failed, from the error of a pool."""
    return await refused(database_place(settings), _url_of(settings), error)


async def version_and_role(container: TulouContainer) -> str:
    """Check PostgreSQL's version, and that it accepts writes."""
    settings = container.settings()
    place, server = database_place(settings), await _asked(container)
    if server["version"] < OLDEST_POSTGRES:
        raise CheckFailed(
            f"{place} has version {server['version'] // 10000}.", "Upgrade it to PostgreSQL 16 or newer."
        )
    if server["is_replica"]:
        raise CheckFailed(
            f"{place} is a replica and takes no writes.",
            f"Put the host of the primary into {place.setting}; after a failover: SELECT pg_promote().",
        )
    if server["is_read_only"]:
        name = database_in(_url_of(settings))
        raise CheckFailed(
            f"{place} takes no writes: default_transaction_read_only is on for database {name} or its role.",
            f"As a superuser: ALTER DATABASE {name} RESET default_transaction_read_only; the same for ALTER ROLE"
            f" {role_in(_url_of(settings))} and in postgresql.conf. Until then set TULOU_MODE=read-only.",
        )
    return f"{place}, version {server['version'] // 10000}"


async def role(container: TulouContainer) -> str:
    """Check that the application's role has no administrative rights."""
    settings, server = container.settings(), await _asked(container)
    if settings.env != "production":
        return "the owner (fine outside production)" if server["may_create"] else "data only"
    name = role_in(_url_of(settings))
    remedy = (
        "Give TULOU_DATABASE_URL a role with data rights only, and the owner to TULOU_DATABASE_OWNER_URL."
    )
    if server["is_superuser"]:
        raise CheckFailed(f"The application's role {name} is a superuser.", remedy)
    if server["may_create"]:
        raise CheckFailed(f"The application's role {name} may create tables.", remedy)
    return "data only"


async def rights(container: TulouContainer) -> str:
    """Check the rights of the application's role on each table."""
    (found,) = await container.database().ask(_RIGHTS, list(domains_of(container)))
    has = {table: set(names) for table, names in json.loads(found).items()}
    name = role_in(_url_of(container.settings()))
    remedy = (
        "Run `tulou migrate`, with TULOU_DATABASE_URL and TULOU_DATABASE_OWNER_URL set: it grants the rights."
    )
    withheld = {table: set(WITHHELD.get(table, ())) for table in has}
    if missing := ", ".join(table for table in has if {*NEEDED} - withheld[table] - has[table]):
        raise CheckFailed(f"Role {name} may not read and write {missing}.", remedy)
    is_owner = (await _asked(container))["may_create"]
    if not is_owner and (changeable := ", ".join(table for table in has if withheld[table] & has[table])):
        raise CheckFailed(f"Role {name} may change append-only tables: {changeable}.", remedy)
    return "reads and writes every table"


async def migrations(container: TulouContainer) -> str:
    """Check that this version works with the database's schema."""
    history, name = our_history(), database_in(_url_of(container.settings()))
    found = await container.database().ask(REVISION)
    if found is None:
        raise CheckFailed(f"Database {name} has no migration yet.", "Run `tulou migrate`.")
    revision, comment = found
    status = history.status_of(revision, comment)
    if status is SchemaStatus.CURRENT:
        return f"up to date ({revision})"
    if status is SchemaStatus.NEWER:
        return sentence_about(status, revision, comment)
    if status is SchemaStatus.TOO_NEW:
        lineage = lineage_in(comment, revision)
        fitting = f", and only versions since migration {lineage.fits_since} fit it" if lineage else ""
        raise CheckFailed(
            f"Database {name} was migrated to {revision}, which this version does not know; its newest"
            f" migration is {history.head}{fitting}.",
            "Start the newer version that migrated it; to stay with this one, restore a backup of before.",
        )
    missing = len(history.revisions) - history.revisions.index(revision) - 1
    raise CheckFailed(
        f"Database {name} is at {revision} and lacks {missing} migration(s) up to {history.head}.",
        "Run `tulou migrate`.",
    )


async def indexes(container: TulouContainer) -> str:
    """Check that every index can be used."""
    (invalid,) = await container.database().ask(_INVALID_INDEXES, list(domains_of(container)))
    if invalid:
        statements = " ".join(f"REINDEX INDEX CONCURRENTLY {name};" for name in invalid)
        raise CheckWarning(
            f"No query uses these indexes, because building them has not ended: {', '.join(invalid)}.",
            "If `tulou migrate` is running, wait for its end; if it failed, run it again. Else, as the owner:"
            f" {statements}",
        )
    return "all valid"


async def clock(container: TulouContainer) -> str:
    """Check that the clocks of this machine and of the database agree."""
    asked = container.clock().now()
    server = await _asked(container)
    took = container.clock().now() - asked
    drift = abs(asked + took / 2 - server["now"])
    if drift > DRIFT + took / 2:
        host = database_place(container.settings()).host
        raise CheckFailed(
            f"The clocks of this machine and of the database's ({host}) differ by {drift.total_seconds():.1f} s.",
            "Let both follow an NTP server: `timedatectl set-ntp true`.",
        )
    return f"differs by {drift.total_seconds():.3f} s"


async def _asked(container: TulouContainer) -> asyncpg.Record:
    return await container.database().ask(_SERVER)


def _url_of(settings: Settings) -> str:
    return settings.database_url.get_secret_value() if settings.database_url else ""
