"""Runs migrations as the owner's role, one runner at a time, never waiting long for a lock.

With a connection in the options they run inside the transaction that is open there, and nothing is committed.
"""

import asyncio
import time
from contextlib import nullcontext
from typing import Any

from alembic import context
from alembic.operations.ops import ExecuteSQLOp
from sqlalchemy import Connection, String, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel.sql.sqltypes import AutoString

from bootstrap.migrations.commenting import after_each_step, history_of, revision_and_comment, write_comment
from bootstrap.migrations.grants import grant_to_application
from bootstrap.migrations.rendering import written
from bootstrap.migrations.runner import LOOK_AGAIN, ONE_AT_A_TIME, AnotherRunner, MigratedByNewer

options: dict[str, Any] = context.config.attributes


def _is_domain_schema(name: str | None, kind: str, _parents: object) -> bool:
    schemas = options.get("schemas")
    return kind != "schema" or schemas is None or name in schemas


def _only_our_tables(item: Any, _name: str | None, kind: str, _reflected: object, _other: object) -> bool:
    schemas = options.get("schemas")
    return kind != "table" or schemas is None or item.schema in schemas


def _differs(_context: object, _inspected: object, _column: object, found: Any, expected: Any) -> bool | None:
    """Texts without a length are one type to PostgreSQL; for the others alembic decides."""
    texts = isinstance(found, String) and isinstance(expected, AutoString)
    return False if texts and found.length is None and expected.length is None else None


def _with_schema(context: Any, _revision: object, directives: list[Any]) -> None:
    """Write nothing when nothing changed; make the domain's schema before its first table."""
    operations = directives[0].upgrade_ops
    if operations.is_empty():
        directives[:] = [] if options.get("writing") else directives
        return
    existing = set(inspect(context.connection).get_schema_names())
    for schema in sorted(set(options["schemas"]) - existing):
        operations.ops.insert(0, ExecuteSQLOp(f"CREATE SCHEMA {schema}"))
        directives[0].downgrade_ops.ops.append(ExecuteSQLOp(f"DROP SCHEMA {schema}"))


def _wait_for_other_runners(connection: Connection) -> None:
    """Take the lock that allows one runner at a time. Between two looks there is no transaction.

    To wait in `pg_advisory_lock` would be a transaction that a concurrent index of the runner before waits for.
    """
    take = text("SELECT pg_try_advisory_lock(:key)")
    while True:
        taken = connection.scalar(take, {"key": ONE_AT_A_TIME})
        connection.commit()
        if taken:
            return
        if time.monotonic() > options["until"]:
            raise AnotherRunner
        time.sleep(LOOK_AGAIN)


def _migrate(connection: Connection) -> None:
    if "asking" in options:
        options["asking"].append(revision_and_comment(connection))
        return
    connection.execute(
        text("SELECT set_config('lock_timeout', :time, false)"), {"time": options["lock_timeout"]}
    )
    _wait_for_other_runners(connection)
    revision, comment = revision_and_comment(connection)
    connection.commit()
    # Alembic would fail with an error about an unknown revision; the caller can say whether this version still
    # works.
    if revision is not None and revision not in history_of(context.script).revisions:
        raise MigratedByNewer(revision, comment)
    _configure(connection, single_transaction=False)
    with context.begin_transaction():
        context.run_migrations()
    _end(connection)
    connection.commit()


def _migrate_inside(connection: Connection) -> None:
    """Run migrations in the transaction of the caller, who holds the lock against other runners."""
    _configure(connection, single_transaction=True)
    # What asks for statements of their own gets statements of this transaction.
    context.get_context().autocommit_block = nullcontext  # type: ignore[assignment,method-assign]
    context.run_migrations()
    _end(connection)


def _configure(connection: Connection, *, single_transaction: bool) -> None:
    context.configure(
        connection=connection,
        target_metadata=options.get("metadata"),
        include_schemas=True,
        include_name=_is_domain_schema,
        include_object=_only_our_tables,
        render_item=written,
        process_revision_directives=_with_schema,
        # A failed migration then rolls back alone, and the finished ones stay.
        transaction_per_migration=True,
        compare_type=_differs,
        # PostgreSQL rewrites default expressions, so every one of them would look changed.
        compare_server_default=False,
        until=options["until"],
        single_transaction=single_transaction,
        on_version_apply=after_each_step(history_of(context.script)),
    )


def _end(connection: Connection) -> None:
    write_comment(connection, history_of(context.script))
    if options.get("grants", True):
        grant_to_application(connection, options.get("application_role"))


async def _run() -> None:
    engine = create_async_engine(options["url"], connect_args={"timeout": options["connect_timeout"]})
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


if "connection" in options:
    _migrate_inside(options["connection"])
else:
    asyncio.run(_run())
