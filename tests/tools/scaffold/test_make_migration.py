"""`tulou make-migration` writes the migration that a person would write, and reports its path."""

import asyncio

import asyncpg
import pytest

from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from shared.ids import new_id
from tests.installations import isolated_settings

WRITTEN = """
def upgrade() -> None:
    op.add_column("users", sa.Column("nickname", sa.Text(), nullable=True), schema="users")


def downgrade() -> None:
    op.drop_column("users", "nickname", schema="users")
"""


@pytest.fixture
async def connected(checkout, settings, servers, tmp_path):
    """A checkout with a database of its own, that is empty."""
    own = await isolated_settings(settings, servers.superuser_url, tmp_path)
    checkout.environment |= servers.environment | {
        "DATABASE_URL": own.database_url.get_secret_value(),
        "TULOU_DATABASE_OWNER_URL": own.database_owner_url.get_secret_value(),
    }
    return checkout, own


async def test_a_new_column_is_written_without_a_word_too_many(connected) -> None:
    checkout, own = connected
    refused = checkout.tulou("make-migration", "users", "-m", "remember the nickname")
    assert refused.returncode == 1
    assert refused.stderr.startswith("The database lacks migrations")
    assert "run .venv/bin/tulou migrate first" in refused.stderr
    await asyncio.to_thread(migrate, own)

    same = checkout.tulou("make-migration", "users", "-m", "remember the nickname")
    assert same.stdout == "Nothing to write: the database has what the models of users say.\n"
    unknown = checkout.tulou("make-migration", "zoo", "-m", "remember the animals")
    assert unknown.stderr.startswith("There is no domain zoo; there are ")
    assert [answer.returncode for answer in (same, unknown)] == [0, 1]
    assert checkout.changes() == []

    models = checkout.folder / "domains/users/models.py"
    models.write_text(
        models.read_text().replace("    locale: str", "    nickname: str | None = None\n    locale: str", 1)
    )
    done = checkout.tulou("make-migration", "users", "-m", "remember the nickname")
    assert (done.returncode, done.stderr) == (0, "")
    (new,) = [line[3:] for line in checkout.changes() if line.startswith("??")]
    assert done.stdout.splitlines() == [
        f"wrote {new}",
        "Next: read it, for it sees no renames, then .venv/bin/tulou migrate",
    ]
    written = (checkout.folder / new).read_text()
    assert written.startswith('"""users: remember the nickname."""\n')
    assert written.endswith(WRITTEN)
    assert "###" not in written
    assert checkout.run(".venv/bin/ruff", "format", "--check", new).returncode == 0
    assert checkout.tulou("migrate").returncode == 0

    models.write_text(
        models.read_text().replace("    nickname: str", "    surname: str\n    nickname: str", 1)
    )
    again = checkout.tulou("make-migration", "users", "-m", "remember the nickname")
    assert again.returncode == 0, again.stderr
    assert "Careful: rows that are there have no surname." in again.stdout
    both = [line[3:] for line in checkout.changes() if line.startswith("??")]
    assert len(both) == 2
    assert (checkout.folder / new).read_text() == written
    await a_user(own)
    failed = checkout.tulou("migrate")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("Migrating failed: ")
    assert 'column "surname"' in failed.stderr
    assert "Traceback" not in failed.stderr


async def a_user(own: Settings) -> None:
    assert own.database_owner_url is not None
    connection = await asyncpg.connect(own.database_owner_url.get_secret_value())
    await connection.execute(
        "INSERT INTO users.users (id, email, email_normalised, created_at, updated_at, revision)"
        " VALUES ($1, 'a@b.example', 'a@b.example', now(), now(), 1)",
        new_id(),
    )
    await connection.close()
