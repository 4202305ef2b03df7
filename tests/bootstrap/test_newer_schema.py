"""A rollback of the program: a version works on the schema of the next one, and each command reports that."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import asyncpg
import pytest

from bootstrap.migrations.lineage import our_history
from tests.bootstrap.test_commands import run
from tests.installations import isolated_settings
from tests.versions import CONTRACTING, NEWER, newer_version

Command = Callable[..., CompletedProcess[str]]
PERSON = (
    "INSERT INTO users.users (id, email, email_normalised, created_at, updated_at, revision, nickname)"
    " SELECT gen_random_uuid(), name, name, now(), now(), 1, E'tab\\there' FROM unnest($1::text[]) AS given (name)"
)


@pytest.fixture(scope="module")
def newer(tmp_path_factory) -> Path:
    """The checkout of a newer version, whose migration only adds."""
    return newer_version(tmp_path_factory.mktemp("newer"))


@pytest.fixture(scope="module")
def contracting(tmp_path_factory) -> Path:
    """The checkout of a newer version, whose migration takes away what this version uses."""
    return newer_version(tmp_path_factory.mktemp("contracting"), CONTRACTING, fits_since=NEWER)


@pytest.fixture
async def urls(settings, servers, tmp_path) -> dict[str, str]:
    """Where an empty database is."""
    own = await isolated_settings(settings, servers.superuser_url, tmp_path)
    return {
        "DATABASE_URL": own.database_url.get_secret_value(),
        "TULOU_DATABASE_OWNER_URL": own.database_owner_url.get_secret_value(),
        "TULOU_DATA_DIR": str(tmp_path),
    }


@pytest.fixture
def command(servers, urls) -> Command:
    """Run a command on that database: `folder` is the checkout of another version."""

    def start(*arguments: str, folder: Path | None = None) -> CompletedProcess[str]:
        result = run(servers, *arguments, folder=folder, **urls)
        assert "Traceback" not in result.stderr
        return result

    return start


def finding(doctor: CompletedProcess[str]) -> dict[str, str]:
    """Return what the doctor found of the migrations."""
    checks = json.loads(doctor.stdout)["checks"]
    return next(check for check in checks if check["name"] == "migrations")


async def ask(urls: dict[str, str], sql: str, *arguments: object) -> list[asyncpg.Record]:
    owner = await asyncpg.connect(urls["TULOU_DATABASE_OWNER_URL"])
    try:
        return await owner.fetch(sql, *arguments)
    finally:
        await owner.close()


async def test_each_command_works_on_a_newer_schema_that_fits(command: Command, newer: Path, urls) -> None:
    assert command("migrate").returncode == 0
    behind = command("migrate", "--check", folder=newer)
    assert behind.returncode == 1
    assert behind.stdout.startswith(NEWER)
    assert command("migrate", folder=newer).returncode == 0
    for arguments in (("migrate",), ("migrate", "--check")):
        result = command(*arguments)
        assert result.returncode == 0, result.stderr
        (sentence,) = result.stdout.splitlines()
        assert "still works with it" in sentence
        assert NEWER in sentence
    found = finding(command("doctor", "--json"))
    assert found["state"] == "well", found
    assert NEWER in found["finding"]
    (row,) = await ask(urls, "SELECT version_num FROM alembic_version")
    assert row["version_num"] == NEWER
    assert command("migrate", "--check", folder=newer).returncode == 0


async def test_each_command_refuses_a_newer_schema_that_does_not_fit(
    command: Command, contracting: Path, tmp_path
) -> None:
    assert command("migrate").returncode == 0
    assert command("migrate", folder=contracting).returncode == 0
    place = str(tmp_path / "backup")
    for arguments in (("migrate",), ("migrate", "--check"), ("backup", place)):
        result = command(*arguments)
        assert result.returncode == 1
        assert "no longer works with it" in result.stdout + result.stderr
    found = finding(command("doctor", "--json"))
    assert (found["state"], "only versions since" in found["finding"]) == ("ill", True)
    assert "tulou migrate" not in found["cure"]


async def test_a_backup_of_the_newer_schema_can_be_restored_by_both_versions(
    command: Command, newer: Path, urls, tmp_path
) -> None:
    emails = ["one@example.com", "two@example.com"]
    assert command("migrate", folder=newer).returncode == 0
    await ask(urls, PERSON, emails)
    await ask(urls, "INSERT INTO users.pets VALUES ('Rex')")
    place = str(tmp_path / "backup")
    saved = command("backup", place)
    assert saved.returncode == 0, saved.stderr

    replace = ("--replace", "--confirm", urls["DATABASE_URL"].rpartition("/")[2])
    restored = command("restore", place, *replace, folder=newer)
    assert restored.returncode == 0, restored.stderr
    rows = await ask(urls, "SELECT email, nickname FROM users.users ORDER BY 1")
    assert [tuple(row) for row in rows] == [(email, "tab\there") for email in emails]
    assert len(await ask(urls, "SELECT FROM users.pets")) == 1

    restored = command("restore", place, *replace)
    assert restored.returncode == 0, restored.stderr
    assert "users.pets, users.users.nickname" in restored.stderr
    (row,) = await ask(urls, "SELECT version_num FROM alembic_version")
    assert row["version_num"] == our_history().head
    rows = await ask(
        urls, "SELECT email, unverified_since IS NOT NULL AS is_there FROM users.users ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [(email, True) for email in emails]
    assert command("migrate", folder=newer).returncode == 0


async def test_a_database_that_an_earlier_version_has_migrated_learns_to_say_what_fits(
    command: Command, urls
) -> None:
    comment = "SELECT obj_description('alembic_version'::regclass, 'pg_class') AS said"
    assert command("migrate").returncode == 0
    (before,) = await ask(urls, comment)
    await ask(urls, "COMMENT ON TABLE alembic_version IS NULL")
    assert command("migrate").returncode == 0
    (after,) = await ask(urls, comment)
    assert before["said"] == after["said"]
    assert json.loads(after["said"])["revision"] == our_history().head
