"""The commands of `tulou`, run as a user types them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.migrations.runner import alembic_config
from tests.forked_commands import run_command
from tools.faults.people import some_email

OURS = ("TULOU_", "DATABASE_URL", "REDIS_URL", "SMTP_URL")


def run(
    servers, *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    given = {**kept, **(servers.environment if servers else {}), "COLUMNS": "200", **environment}
    if folder is None:
        return run_command(*arguments, environment=given)
    return subprocess.run(  # the version in that folder
        [sys.executable, "-m", "bootstrap.cli.main", *arguments],
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


def test_settings_are_shown_with_their_source_and_without_secrets(servers, settings) -> None:
    result = run(servers, "settings")
    assert result.returncode == 0, result.stderr
    for line in ("TULOU_JOBS_LEASE", "TULOU_PUBLIC_URL", "TULOU_SIGNING_KEYS"):
        assert line in result.stdout
    for secret in ("TULOU_SIGNING_KEYS", "TULOU_SIGNING_KEYS_ES256", "TULOU_TOKEN_KEYS", "TULOU_MAIL_KEYS"):
        assert servers.environment[secret] not in result.stdout
    assert "********" in result.stdout


def test_every_setting_is_described(settings) -> None:
    assert [name for name, field in type(settings).model_fields.items() if not field.description] == []


def test_an_administrator_is_made(servers, settings) -> None:
    email = some_email()
    result = run(servers, "create-admin", "--email", email, TULOU_ADMIN_PASSWORD="a fine long secret 1")
    assert result.returncode == 0, result.stderr
    assert email in result.stdout
    weak = run(servers, "create-admin", "--email", some_email(), TULOU_ADMIN_PASSWORD="password")
    assert weak.returncode == 1
    assert "Traceback" not in weak.stderr


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TULOU_PORT": "many"}, "TULOU_PORT"),
        ({"TULOU_DATABASE_URL": "mysql://x"}, "postgresql://"),
        ({"TULOU_SIGNING_KEYS": "short"}, "TULOU_SIGNING_KEYS"),
        ({"TULOU_JOBS_LEASE": "0"}, "TULOU_JOBS_LEASE"),
        ({"TULOU_REDIS_URL": "amqp://x"}, "redis://"),
    ],
)
def test_a_wrong_setting_is_one_clear_sentence(servers, settings, environment, sentence: str) -> None:
    result = run(servers, "serve", **environment)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert "short" not in result.stderr


def test_production_names_every_unsafe_value_at_once(servers, settings) -> None:
    result = run(None, "serve", TULOU_ENV="production")
    assert result.returncode == 1
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "SIGNING_KEYS",
        "TOKEN_KEYS",
        "MAIL_KEYS",
        "SMTP_URL",
        "PUBLIC_URL",
        "TRUSTED_PROXIES",
    ):
        assert name in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [("serve",), ("relay",), ("worker", "--queue", "mail"), ("migrate",)])
def test_without_a_database_a_command_says_what_to_set(command, tmp_path) -> None:
    result = run(None, *command, TULOU_DATA_DIR=str(tmp_path))
    assert result.returncode == 1
    assert "TULOU_DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_taken_port_is_one_clear_sentence(servers, settings) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = run(servers, "serve", TULOU_PORT=port)
    assert result.returncode == 1
    assert port in result.stderr
    assert "TULOU_PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_migrating_twice_changes_nothing(servers, settings) -> None:
    assert run(servers, "migrate").returncode == 0


def test_the_migrations_make_what_the_models_say(settings) -> None:
    from alembic import command

    from shared.db.models import metadata

    config = alembic_config(settings)
    config.attributes["metadata"] = metadata
    config.attributes["schemas"] = {table.schema for table in metadata.tables.values()}
    command.check(config)


def test_migrations_can_be_taken_back(servers, settings) -> None:
    """On a database of its own, down to nothing and up again."""
    import asyncio

    import asyncpg
    from alembic import command

    async def make(name: str) -> None:
        connection = await asyncpg.connect(servers.superuser_url)
        await connection.execute(f"CREATE DATABASE {name} OWNER tulou_owner")
        await connection.close()

    name = "taken_back"
    asyncio.run(make(name))
    config = alembic_config(settings)
    config.attributes["url"] = config.attributes["url"].rsplit("/", 1)[0] + f"/{name}"
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    command.upgrade(config, "head")
