"""The application's database role reads and writes rows, but can't change rows of the audit log."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from bootstrap.migrations.grants import WITHHELD
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings

VALUES = {"auth.security_events": "event", "emails.attempts": "reply", "emails.emails": "subject"}


@pytest.fixture
async def application(servers, settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection with the role that the running program has."""
    connection = await asyncpg.connect(servers.environment["DATABASE_URL"])
    yield connection
    await connection.close()


@pytest.fixture
async def owner(servers, settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection with the role that migrates."""
    connection = await asyncpg.connect(servers.environment["TULOU_DATABASE_OWNER_URL"])
    yield connection
    await connection.close()


def statement(right: str, table: str) -> str:
    if right == "DELETE":
        return f"DELETE FROM {table}"
    return f"UPDATE {table} SET {VALUES[table]} = 'nothing happened'"


@pytest.mark.parametrize(
    ("table", "right"),
    [(table, right) for table, rights in WITHHELD.items() for right in (*rights, "TRUNCATE")],
)
async def test_the_application_is_refused_what_would_change_the_audit_log(
    application: asyncpg.Connection, user, table: str, right: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await application.execute(f"TRUNCATE {table}" if right == "TRUNCATE" else statement(right, table))


async def test_there_is_no_way_around(application: asyncpg.Connection, user) -> None:
    for way in (
        "ALTER TABLE auth.security_events DISABLE TRIGGER ALL",
        "ALTER TABLE auth.security_events OWNER TO tulou_app",
        "SET ROLE tulou_owner",
        "SET session_replication_role = replica",
        "DROP FUNCTION auth.prune_security_events",
        "CREATE SCHEMA mine",
        "CREATE TABLE auth.security_events_2 (id int)",
        "SELECT id FROM auth.security_events FOR UPDATE",
        (
            "INSERT INTO auth.security_events SELECT * FROM auth.security_events LIMIT 1"
            " ON CONFLICT (id) DO UPDATE SET event = 'nothing happened'"
        ),
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError)):
            await application.execute(way)
    await application.execute("GRANT DELETE ON auth.security_events TO tulou_app")  # a warning, and no right
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await application.execute("DELETE FROM auth.security_events")


async def test_a_table_of_the_callers_own_changes_nothing_of_what_is_pruned(
    application: asyncpg.Connection, owner: asyncpg.Connection, user
) -> None:
    before = await owner.fetchval("SELECT count(*) FROM auth.security_events WHERE user_id = $1", user.id)
    for trap in ("SET search_path = pg_temp, public", "SET TimeZone = 'Pacific/Kiritimati'"):
        await application.execute(trap)
    await application.fetchval("SELECT auth.prune_security_events('infinity')")
    await application.fetchval("SELECT auth.prune_security_events(now())")
    after = await owner.fetchval("SELECT count(*) FROM auth.security_events WHERE user_id = $1", user.id)
    assert after == before > 0


async def test_old_events_are_pruned_by_the_sweep(
    composition, app, owner: asyncpg.Connection, user, work_off
) -> None:
    aged = "UPDATE auth.security_events SET created_at = $2 WHERE user_id = $1 RETURNING id"
    old, kept = datetime.now(UTC) - timedelta(days=366), datetime.now(UTC) - timedelta(days=364)
    for moment, left in ((kept, True), (old, False)):
        await owner.fetch(aged, user.id, moment)
        await composition.auth.housekeeping().sweep(Context())
        found = await owner.fetch("SELECT id FROM auth.security_events WHERE user_id = $1", user.id)
        assert bool(found) is left


class Context:
    """What a job is given, as far as the sweep needs it."""

    async def finish(self, result: object = None) -> None:
        """Take note of nothing."""


async def test_what_servers_said_of_a_person_is_erased_and_the_attempts_stay(
    composition, app, owner: asyncpg.Connection, user, other, work_off
) -> None:
    await work_off()
    said = (
        "UPDATE emails.attempts SET reply = '250 for ada' FROM emails.emails WHERE emails.id = email_id"
        " AND owner_id = $1 RETURNING attempts.id"
    )
    mine = [row["id"] for row in await owner.fetch(said, user.id)]
    theirs = [row["id"] for row in await owner.fetch(said, other.id)]
    assert mine
    assert theirs
    await composition.emails.personal_data().purge(user.id)
    replies = "SELECT reply FROM emails.attempts WHERE id = ANY($1)"
    assert {row["reply"] for row in await owner.fetch(replies, mine)} == {None}
    assert {row["reply"] for row in await owner.fetch(replies, theirs)} == {"250 for ada"}


async def test_a_database_that_is_there_loses_the_rights_with_the_migration(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    await owner.execute("GRANT UPDATE, DELETE ON auth.security_events TO tulou_app")
    await owner.execute("GRANT DELETE ON emails.emails TO PUBLIC")
    await asyncio.to_thread(migrate, settings)
    for table, rights in WITHHELD.items():
        for right in rights:
            assert not await owner.fetchval("SELECT has_table_privilege('tulou_app', $1, $2)", table, right)
