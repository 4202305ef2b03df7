"""Commands that can't work report in one sentence the server's address, its error and the remedy."""

from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.bootstrap.test_commands import run
from tests.installations import database_at, isolated_settings
from tests.programs import free_port


def with_password(url: str, password: str) -> str:
    """Return a URL with another password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}"))


@pytest.fixture
async def owner_url(settings, servers, tmp_path) -> str:
    """The owner's URL of an empty database."""
    own = await isolated_settings(settings, servers.superuser_url, tmp_path)
    return own.database_owner_url.get_secret_value()


@pytest.mark.parametrize("command", ["migrate", "migrate --check", "backup {place}"])
@pytest.mark.parametrize(
    ("broken", "says", "remedy"),
    [
        ("away", "nothing listens there", "Start PostgreSQL"),
        ("password", "refuses the password of role tulou_owner", "TULOU_DATABASE_OWNER_URL"),
        ("database", "has no database nowhere", "CREATE DATABASE"),
    ],
)
def test_a_database_that_lets_nobody_in_is_one_sentence(
    broken: str, says: str, remedy: str, command: str, servers, owner_url: str, tmp_path
) -> None:
    port = free_port()
    url = {
        "away": f"postgresql://tulou_owner:x@127.0.0.1:{port}/x",
        "password": with_password(owner_url, "wrong"),
        "database": database_at(owner_url, "nowhere"),
    }[broken]
    arguments = command.format(place=tmp_path / "backup").split()
    result = run(servers, *arguments, TULOU_DATABASE_OWNER_URL=url)
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert f"127.0.0.1:{urlsplit(url).port}" in sentence
    assert says in sentence
    assert remedy in sentence


def test_a_role_that_may_not_migrate_is_one_sentence(servers, owner_url: str) -> None:
    name = urlsplit(owner_url).path[1:]
    url = database_at(servers.environment["DATABASE_URL"], name)
    result = run(servers, "migrate", DATABASE_URL=url, TULOU_DATABASE_OWNER_URL=url)
    assert result.returncode == 1
    (sentence,) = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert "denies role tulou_app a right" in sentence
    assert f"the role that owns database {name}" in sentence
