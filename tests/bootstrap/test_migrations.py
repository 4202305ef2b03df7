"""Migrations agree with the models, block no queries, wait for each other, and report a missing one."""

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command, op
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory

from bootstrap.container import domains_of
from bootstrap.migrations.indexes import create_index_concurrently, drop_index_concurrently
from bootstrap.migrations.runner import FOLDER, ONE_AT_A_TIME, alembic_config, look, migrate
from bootstrap.settings.model import SettingsError
from shared.db.models import metadata
from tests.installations import isolated_settings

OURS = {
    "prefer-bigint-over-int": "the integers that we have count attempts and the like",
    "prefer-text-field": "enumerations have the length that SQLAlchemy gives them",
    "require-lock-timeout": "the runner sets lock_timeout before every migration",
    "require-statement-timeout": "what takes long without a lock may take long",
}
DROPS_INDEX = "drops-index"
"""A rule of ours: the version before finds its rows by that index. Say since which version none uses it."""
BEFORE_THE_FIRST_RELEASE = "nobody had data yet"
EXCEPTIONS: dict[str, dict[str, str]] = {
    "00eb97d57251": dict.fromkeys(
        (
            "ban-drop-table",
            "require-concurrent-index-creation",
            "require-concurrent-index-deletion",
            DROPS_INDEX,
        ),
        BEFORE_THE_FIRST_RELEASE,
    )
}
"""What is let through all the same: rules and reasons by revision."""

SCRIPTS = list(ScriptDirectory(str(FOLDER)).walk_revisions())


def sql_of(upgrade: Callable[[], None]) -> str:
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written, "transaction_per_migration": True}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context), context.begin_transaction(_per_migration=True):
        upgrade()
    return written.getvalue()


def complaints(sql: str, *excluded: str) -> set[str]:
    linter = Path(sys.executable).parent / "squawk"
    rules = ",".join({*OURS, *excluded} - {DROPS_INDEX})
    told = subprocess.run(
        [
            linter,
            "--no-assume-in-transaction",
            "--reporter=gcc",
            "--pg-version=16",
            f"--exclude={rules}",
            "--stdin-filepath=migration.sql",
        ],
        input=sql,
        capture_output=True,
        text=True,
        check=False,
    )
    found = set(re.findall(r": (?:warning|error): ([a-z-]+)", told.stdout))
    assert found or told.returncode == 0, told.stdout + told.stderr
    return found | ({DROPS_INDEX} if "DROP INDEX" in sql else set()) - set(excluded)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_a_migration_stops_nobody_and_leaves_the_version_before_working(script: Script) -> None:
    assert complaints(sql_of(script.module.upgrade), *EXCEPTIONS.get(script.revision, {})) == set()


def add_required_column() -> None:
    op.add_column("users", sa.Column("nickname", sa.Text(), nullable=False), schema="users")


def rename_column() -> None:
    op.alter_column("users", "name", new_column_name="full_name", schema="users")


def drop_column() -> None:
    op.drop_column("users", "locale", schema="users")


def index_under_a_lock() -> None:
    op.create_index("ix_users_name", "users", ["name"], schema="users")


def change_type() -> None:
    op.alter_column("users", "revision", type_=sa.BigInteger(), schema="users")


def require_a_value() -> None:
    op.alter_column("users", "name", nullable=False, schema="users")


def drop_index() -> None:
    drop_index_concurrently("ix_jobs_due", "jobs", schema="jobs")


@pytest.mark.parametrize(
    "unsafe",
    [
        add_required_column,
        rename_column,
        drop_column,
        index_under_a_lock,
        change_type,
        require_a_value,
        drop_index,
    ],
)
def test_an_unsafe_migration_is_seen(unsafe: Callable[[], None]) -> None:
    assert complaints(sql_of(unsafe))


def test_the_safe_way_to_add_an_index_and_a_column_is_let_through() -> None:
    def safe() -> None:
        column = sa.Column("nickname", sa.Text(), nullable=True)
        op.add_column("users", column, schema="users", if_not_exists=True)
        create_index_concurrently("ix_users_name", "users", ["name"], schema="users")

    assert complaints(sql_of(safe)) == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.revision)
def test_an_index_of_a_table_in_use_is_made_by_the_function_for_it(script: Script) -> None:
    assert "concurrently=" not in Path(script.path).read_text()


async def test_models_and_migrations_agree(settings, composition) -> None:
    config = alembic_config(settings)
    config.attributes["metadata"] = metadata
    config.attributes["schemas"] = {table.schema for table in metadata.tables.values()}
    assert set(domains_of(composition)) <= config.attributes["schemas"]
    await asyncio.to_thread(command.check, config)


@pytest.fixture
async def empty(settings, servers, tmp_path):
    """Settings of a database that was never migrated."""
    return await isolated_settings(settings, servers.superuser_url, tmp_path, migration_lock_wait=0.2)


async def tables_in(settings) -> int:
    connection = await asyncpg.connect(settings.database_owner_url.get_secret_value())
    try:
        return await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'users'")
    finally:
        await connection.close()


async def test_a_runner_waits_for_another_and_goes_on(empty) -> None:
    other = await asyncpg.connect(empty.database_owner_url.get_secret_value())
    await other.execute(f"SELECT pg_advisory_lock({ONE_AT_A_TIME})")
    waiting = asyncio.create_task(asyncio.to_thread(migrate, empty))
    looks = set()
    async with asyncio.timeout(30):
        while len(looks) < 2:
            looks |= set(
                await other.fetch(
                    "SELECT state_change FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state = 'idle' AND query IN ('COMMIT', 'COMMIT;')"
                )
            )
            await asyncio.sleep(0.02)
    assert not waiting.done()
    assert await tables_in(empty) == 0
    await other.close()
    await waiting
    assert await tables_in(empty) == 1


async def test_a_runner_that_waits_too_long_for_another_says_so(empty) -> None:
    impatient = empty.model_copy(update={"migration_patience": 0})
    other = await asyncpg.connect(empty.database_owner_url.get_secret_value())
    await other.execute(f"SELECT pg_advisory_lock({ONE_AT_A_TIME})")
    with pytest.raises(SettingsError, match="Another `tulou migrate`"):
        await asyncio.to_thread(migrate, impatient)
    await other.close()


async def test_what_is_missing_can_be_asked(empty, programs) -> None:
    urls = {
        "DATABASE_URL": empty.database_url.get_secret_value(),
        "TULOU_DATABASE_OWNER_URL": empty.database_owner_url.get_secret_value(),
    }
    before = programs("migrate", "--check", **urls)
    assert before.process.wait(30) == 1
    assert len([line for line in before.output.splitlines() if not line.startswith("{")]) == len(SCRIPTS)
    await asyncio.to_thread(migrate, empty)
    assert (await asyncio.to_thread(look, empty)).missing == []
    after = programs("migrate", "--check", **urls)
    assert after.process.wait(30) == 0
    assert "up to date" in after.output


async def test_the_days_of_unverified_accounts_that_are_there_are_counted_from_the_upgrade(empty) -> None:
    config = alembic_config(empty)
    await asyncio.to_thread(command.upgrade, config, "e3a9d1547c60")
    connection = await asyncpg.connect(empty.database_owner_url.get_secret_value())
    insert = (
        "INSERT INTO users.users (id, email, email_normalised, created_at, updated_at, revision)"
        " SELECT gen_random_uuid(), $1, $1, now() - interval '400 days', now(), 1"
    )
    try:
        await connection.execute(insert, "there@example.com")
        before = await connection.fetchval("SELECT now()")
        await asyncio.to_thread(command.upgrade, config, "d7b52c90e1a4")
        await connection.execute(insert, "added-by-the-version-before@example.com")
        rows = await connection.fetch("SELECT unverified_since FROM users.users")
    finally:
        await connection.close()
    assert len(rows) == 2
    assert all(row["unverified_since"] > before for row in rows)


async def test_tags_that_are_there_are_composed_and_each_is_kept_once(empty) -> None:
    config = alembic_config(empty)
    await asyncio.to_thread(command.upgrade, config, "b1f0c7d24e6a")
    connection = await asyncpg.connect(empty.database_owner_url.get_secret_value())
    try:
        await connection.execute(
            "INSERT INTO files.blobs (sha256, size, storage_key, copies) VALUES ('0', 1, '0', 1);"
            "INSERT INTO files.files (id, owner_id, name, size, sha256, reserved, status, facts, client_metadata, tags,"
            " revision) SELECT gen_random_uuid(), gen_random_uuid(), 'a', 1, '0', 0, 'ready', '{}', '{}',"
            " CASE WHEN number % 2 = 0 THEN ARRAY['z', U&'cafe\\0301', U&'caf\\00e9', 'a'] ELSE ARRAY['z'] END, 1"
            " FROM generate_series(1, 2400) AS number"
        )
        await asyncio.to_thread(command.upgrade, config, "e3a9d1547c60")
        rows = await connection.fetch("SELECT tags, revision, count(*) FROM files.files GROUP BY 1, 2")
    finally:
        await connection.close()
    assert {(*row["tags"], row["revision"], row["count"]) for row in rows} == {
        ("z", "caf\u00e9", "a", 2, 1200),
        ("z", 1, 1200),
    }
