"""An index of a table in use ends up valid, whatever it waits for and however often its migration runs."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.script import Script, ScriptDirectory

from bootstrap.migrations.runner import FOLDER, alembic_config, look, migrate
from bootstrap.settings.model import Settings, SettingsError
from tests.installations import database_at, isolated_settings

BEFORE_THE_FIRST_INDEX = "6d0f5a3c9b21"
SCRIPTS = list(ScriptDirectory(str(FOLDER)).walk_revisions())
RUN_IN_PARTS = [
    script
    for script in SCRIPTS
    if re.search(
        "autocommit_block|create_index_concurrently|update_in_batches", Path(script.path).read_text()
    )
]
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"


@pytest.fixture
async def before(settings: Settings, servers, tmp_path: Path) -> Settings:
    """Settings of a database that lacks the first migration with a concurrent index."""
    made = await isolated_settings(settings, servers.superuser_url, tmp_path, migration_lock_wait=0.2)
    await asyncio.to_thread(command.upgrade, alembic_config(made), BEFORE_THE_FIRST_INDEX)
    return made


@pytest.fixture
async def owner(before: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url_of(before))
    yield connection
    await connection.close()


def url_of(settings: Settings) -> str:
    assert settings.database_owner_url is not None
    return settings.database_owner_url.get_secret_value()


@asynccontextmanager
async def an_old_snapshot(settings: Settings) -> AsyncIterator[Callable]:
    """Hold a snapshot, as a backup does, until the function that is given is called."""
    other = await asyncpg.connect(url_of(settings))
    await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")

    async def release() -> None:
        await other.execute("COMMIT")

    try:
        yield release
    finally:
        await other.close()


async def the_one_that_waits_for_it(owner: asyncpg.Connection) -> int:
    """Return the process that waits to build an index, as soon as there is one."""
    there = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    return await until(
        owner,
        f"SELECT pid FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted AND pid IN ({there})",
    )


async def until(owner: asyncpg.Connection, question: str) -> int:
    """Ask until the answer is neither nothing nor false."""
    async with asyncio.timeout(20):
        while not (answer := await owner.fetchval(question)):
            await asyncio.sleep(0.02)
    return answer


async def assert_all_is_there(settings: Settings, owner: asyncpg.Connection) -> None:
    assert [row[0] for row in await owner.fetch(INVALID)] == []
    assert (await asyncio.to_thread(look, settings)).missing == []


async def test_an_index_waits_for_an_old_snapshot(before: Settings, owner: asyncpg.Connection) -> None:
    async with an_old_snapshot(before) as release:
        running = asyncio.create_task(asyncio.to_thread(migrate, before))
        await the_one_that_waits_for_it(owner)
        await asyncio.sleep(5 * before.migration_lock_wait)
        assert not running.done()
        await release()
        await running
    await assert_all_is_there(before, owner)


async def test_a_migration_that_was_killed_while_it_built_an_index_is_run_again(
    before: Settings, owner: asyncpg.Connection
) -> None:
    async with an_old_snapshot(before):
        running = asyncio.create_task(asyncio.to_thread(migrate, before))
        await owner.execute("SELECT pg_terminate_backend($1)", await the_one_that_waits_for_it(owner))
        with pytest.raises(SettingsError, match="run `tulou migrate` again"):
            await running
    assert await owner.fetch(INVALID)
    await asyncio.to_thread(migrate, before)
    await assert_all_is_there(before, owner)


async def test_an_index_that_waits_too_long_says_so_and_is_built_by_the_next_run(
    before: Settings, owner: asyncpg.Connection
) -> None:
    impatient = before.model_copy(update={"migration_patience": 0})
    async with an_old_snapshot(before):
        with pytest.raises(SettingsError, match="TULOU_MIGRATION_PATIENCE"):
            await asyncio.to_thread(migrate, impatient)
    await asyncio.to_thread(migrate, before)
    await assert_all_is_there(before, owner)


async def test_two_runners_at_once_while_an_index_is_built(
    before: Settings, owner: asyncpg.Connection, programs
) -> None:
    # Longer than PostgreSQL waits before it looks for a deadlock (1 s).
    both = before.model_copy(update={"migration_lock_wait": 3})
    assert before.database_url is not None
    environment = {
        "DATABASE_URL": before.database_url.get_secret_value(),
        "TULOU_DATABASE_OWNER_URL": url_of(before),
        "TULOU_MIGRATION_LOCK_WAIT": "3",
    }
    async with an_old_snapshot(before) as release:
        first = asyncio.create_task(asyncio.to_thread(migrate, both))
        await the_one_that_waits_for_it(owner)
        second = programs("migrate", **environment)
        await until(owner, "SELECT count(*) > 3 FROM pg_stat_activity WHERE datname = current_database()")
        await asyncio.sleep(0.3)
        await release()
        await first
    assert await asyncio.to_thread(second.process.wait, 30) == 0, second.output
    await assert_all_is_there(before, owner)


@pytest.mark.parametrize("script", RUN_IN_PARTS, ids=lambda script: script.revision)
async def test_a_migration_that_commits_in_parts_can_be_run_again(
    before: Settings, owner: asyncpg.Connection, servers, script: Script
) -> None:
    config = alembic_config(before)
    await asyncio.to_thread(command.upgrade, config, script.down_revision)
    there = await owner.fetch("SELECT indexrelid FROM pg_index")
    await asyncio.to_thread(command.upgrade, config, script.revision)
    made = set(await owner.fetch("SELECT indexrelid FROM pg_index")) - set(there)
    await owner.execute("UPDATE alembic_version SET version_num = $1", script.down_revision)
    name = await owner.fetchval("SELECT current_database()")
    superuser = await asyncpg.connect(database_at(servers.superuser_url, name))
    await superuser.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = ANY($1)", [row[0] for row in made]
    )
    await superuser.close()
    await asyncio.to_thread(command.upgrade, config, script.revision)
    assert await owner.fetch(INVALID) == []
