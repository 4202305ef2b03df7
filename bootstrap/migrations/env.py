"""Runs migrations as the owner's role, one runner at a time, never waiting long for a lock."""

import asyncio
from typing import Any

from alembic import context
from alembic.operations import MigrateOperation
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from bootstrap.migrations.grants import grant_to_application

LOCK_TIMEOUT = "5s"
ONE_AT_A_TIME = 7_483_920
"""Key of the advisory lock that keeps two runners apart."""

options: dict[str, Any] = context.config.attributes


def _only_ours(name: str | None, kind: str, _parents: object) -> bool:
    schemas = options.get("schemas")
    return kind != "schema" or schemas is None or name in schemas


def _without_empty(_context: object, _revision: object, directives: list[MigrateOperation]) -> None:
    """Write no migration when nothing changed."""
    script: Any = directives[0]
    if script.upgrade_ops.is_empty():
        directives[:] = []


def _migrate(connection: Connection) -> None:
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ONE_AT_A_TIME})
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=options.get("metadata"),
        include_schemas=True,
        include_name=_only_ours,
        process_revision_directives=_without_empty,
        transaction_per_migration=True,
        compare_server_default=False,
    )
    with context.begin_transaction():
        context.run_migrations()
    grant_to_application(connection, options.get("application_role"))
    connection.commit()


async def _run() -> None:
    engine = create_async_engine(options["url"])
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


asyncio.run(_run())
