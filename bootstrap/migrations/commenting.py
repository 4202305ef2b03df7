"""The comment of the table `alembic_version`, which says what versions of the program fit the database."""

from collections.abc import Callable, Collection
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from bootstrap.migrations.lineage import FITS_SINCE, History, Step

_COMMENT = text("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')")


def revision_and_comment(connection: Connection) -> tuple[str | None, str | None]:
    """Return the last migration that was applied, and the comment."""
    revision = MigrationContext.configure(connection).get_current_revision()
    comment: str | None = connection.scalar(_COMMENT)
    return revision, comment


def history_of(scripts: ScriptDirectory) -> History:
    """Return the migrations that Alembic found."""
    return History(
        Step(script.revision, _one(script.down_revision), getattr(script.module, FITS_SINCE, None))
        for script in scripts.walk_revisions()
    )


def write_comment(connection: Connection, history: History) -> None:
    """Bring the comment up to date, as the table's owner."""
    revision, comment = revision_and_comment(connection)
    if revision in history.revisions:
        said = history.lineage(revision).model_dump_json()
        if said != comment:
            literal = said.replace("'", "''")
            connection.exec_driver_sql(f"COMMENT ON TABLE alembic_version IS '{literal}'")


def after_each_step(history: History) -> Callable[..., None]:
    """Return a hook that Alembic calls after each migration in its transaction, so comment and revision change
    together.
    """

    def write(*, ctx: MigrationContext, heads: Collection[Any], **_: object) -> None:
        if heads and ctx.connection is not None:
            write_comment(ctx.connection, history)

    return write


def _one(down_revision: Any) -> str | None:
    if isinstance(down_revision, tuple):
        message = f"a migration has one before it, and not {len(down_revision)}"
        raise TypeError(message)
    found: str | None = down_revision
    return found
