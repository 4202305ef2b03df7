"""jobs: turns across priorities, for each owner and for kinds without one."""

import sqlalchemy as sa

from bootstrap.migrations.indexes import create_index_concurrently, drop_index_concurrently

revision = "5b1f0c7d2a9e"
down_revision = "6d0f5a3c9b21"
branch_labels = None
depends_on = None

_QUEUED = "state = 'queued'"


def upgrade() -> None:
    _index("ix_jobs_in_turn", ["queue", "turn", "priority", "id"], where=_QUEUED)
    _index("ix_jobs_turns_of_owner", ["owner_id", "queue", "turn", "priority"], where=_QUEUED)
    _index(
        "ix_jobs_turns_of_kind",
        ["kind", "queue", "turn", "priority"],
        where=f"{_QUEUED} AND owner_id IS NULL",
    )


def downgrade() -> None:
    for name in ("ix_jobs_turns_of_kind", "ix_jobs_turns_of_owner", "ix_jobs_in_turn"):
        drop_index_concurrently(name, "jobs", schema="jobs")


def _index(name: str, columns: list[str], *, where: str) -> None:
    create_index_concurrently(name, "jobs", columns, schema="jobs", postgresql_where=sa.text(where))
