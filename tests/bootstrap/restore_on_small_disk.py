"""Restore into a PostgreSQL whose disk fills up. Run alone, where the disk is mounted; prints the result.

python -m tests.bootstrap.restore_on_small_disk DISK BACKUP
"""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.restoring import restore
from bootstrap.migrations.runner import migrate
from bootstrap.settings.loading import load_settings
from tools.dev.postgres import EmbeddedPostgres

PERSON = """
    INSERT INTO users.users (id, email, email_normalised, created_at, updated_at, revision)
    VALUES (gen_random_uuid(), 'who@example.com', 'who@example.com', now(), now(), 1)
"""


def main(disk: Path, backup: str) -> None:
    """Restore a backup that is larger than the disk."""
    postgres = EmbeddedPostgres(disk / "postgres", durable=False)
    postgres.start()
    try:
        os.environ |= {"DATABASE_URL": postgres.url, "TULOU_DATABASE_OWNER_URL": postgres.owner_url}
        settings = load_settings()
        migrate(settings)
        asyncio.run(_run(postgres.owner_url, backup))
    finally:
        postgres.stop()


async def _run(url: str, backup: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(PERSON)
    try:
        await restore(load_settings(), backup, replace=True)
        print("restored")  # noqa: T201  # for whoever runs it
    except BackupRefused as error:
        print(error)  # noqa: T201  # as above
    people = await connection.fetchval("SELECT email FROM users.users")
    schemas = await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'replaced%'")
    print(f"{people} {schemas}")  # noqa: T201  # as above
    await connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
