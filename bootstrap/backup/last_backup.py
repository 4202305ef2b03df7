"""The time of the last complete backup, as a running system reads it.

The record is a comment on a column that every version of the schema has: the schema of an older version can be
recorded too, every role may read it, and a restored database has none.
"""

from contextlib import suppress
from datetime import datetime

from sqlalchemy import literal_column, select

from shared.db.statement import Statement
from shared.schemas import Row

_PREFIX = "The last whole backup was taken at "


class BackupRecord(Row):
    """The comment; None if there is none."""

    comment: str | None


LAST_BACKUP = Statement(
    select(literal_column("col_description(to_regclass('alembic_version'), 1)").label("comment")),
    BackupRecord,
)


def comment_on(moment: datetime) -> str:
    """Return the statement that records a backup. A moment in ISO 8601 has no quotation mark."""
    return f"COMMENT ON COLUMN alembic_version.version_num IS '{_PREFIX}{moment.isoformat()}'"


def taken_at(recorded: BackupRecord | None) -> datetime | None:
    """Return the moment that was recorded; None if there is none."""
    comment = (recorded.comment if recorded else None) or ""
    if comment.startswith(_PREFIX):
        with suppress(ValueError):
            return datetime.fromisoformat(comment.removeprefix(_PREFIX))
    return None
