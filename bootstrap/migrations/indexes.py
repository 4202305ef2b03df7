"""Builds and drops indexes of tables in use; migrations change indexes only by these functions.

PostgreSQL builds them without stopping writers, but not in a transaction: an attempt that ended early leaves an index
that is invalid (it costs writes and no query uses it), and everything that the migration did before it stays.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import op
from sqlalchemy import text

from bootstrap.settings.model import SettingsError

_IS_VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")
_SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :time, false)")


def create_index_concurrently(
    name: str, table: str, columns: list[str], *, schema: str, **options: Any
) -> None:
    """Build an index, anew if an attempt before left it invalid. `options` are those of `op.create_index`.

    It commits what the migration did before, so that must be fit to be done twice (`if_not_exists=True`). A restore,
    which runs migrations in one transaction on unused tables, builds it like any other index.

    Raises:
        SettingsError: the index is not valid all the same.
    """
    with _waiting_for_transactions():
        if _is_valid(schema, name) is False:
            _drop(name, table, schema)
        op.create_index(
            name,
            table,
            columns,
            schema=schema,
            if_not_exists=True,
            postgresql_concurrently=not is_single_transaction(),
            **options,
        )
        if _is_valid(schema, name) is False:
            raise SettingsError(
                f"The index {schema}.{name} is not valid, because another session is building it. When that has"
                f" ended, run `tulou migrate` again."
            )


def drop_index_concurrently(name: str, table: str, *, schema: str) -> None:
    """Drop an index if it exists, without blocking users of its table."""
    with _waiting_for_transactions():
        _drop(name, table, schema)


def is_single_transaction() -> bool:
    """Whether all migrations of this run are one transaction, in which nothing may commit."""
    return bool(op.get_context().opts.get("single_transaction"))


def _drop(name: str, table: str, schema: str) -> None:
    op.drop_index(
        name,
        table_name=table,
        schema=schema,
        if_exists=True,
        postgresql_concurrently=not is_single_transaction(),
    )


def _is_valid(schema: str, name: str) -> bool | None:
    """Tell whether an index is valid; None if there is none, or if the SQL is only written down."""
    if op.get_context().as_sql:
        return None
    found: bool | None = op.get_bind().scalar(_IS_VALID, {"index": f"{schema}.{name}"})
    return found


@contextmanager
def _waiting_for_transactions() -> Iterator[None]:
    """Wait for locks as long as the whole run may take: unlike other changes, this one blocks no other query.

    It waits for every transaction that is older than it, also for one that only reads, such as a backup.
    """
    context = op.get_context()
    if is_single_transaction():
        yield
        return
    # CREATE INDEX CONCURRENTLY can't run inside a transaction.
    with context.autocommit_block():
        if context.as_sql:
            yield
            return
        usual = op.get_bind().scalar(text("SHOW lock_timeout"))
        left = context.opts.get("until", 0.0) - time.monotonic()
        op.get_bind().execute(_SET_LOCK_TIMEOUT, {"time": f"{max(left, 1.0):.3f}s"})
        yield
        op.get_bind().execute(_SET_LOCK_TIMEOUT, {"time": usual})
