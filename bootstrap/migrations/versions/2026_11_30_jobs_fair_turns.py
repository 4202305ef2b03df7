"""jobs: turns across priorities, for each owner and for kinds without one."""

import sqlalchemy as sa
from alembic import op

revision = "5b1f0c7d2a9e"
down_revision = "6d0f5a3c9b21"
branch_labels = None
depends_on = None

_QUEUED = "state = 'queued'"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        _index("ix_jobs_in_turn", ["queue", "turn", "priority", "id"], where=_QUEUED)
        _index("ix_jobs_turns_of_owner", ["owner_id", "queue", "turn", "priority"], where=_QUEUED)
        _index(
            "ix_jobs_turns_of_kind",
            ["kind", "queue", "turn", "priority"],
            where=f"{_QUEUED} AND owner_id IS NULL",
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in ("ix_jobs_turns_of_kind", "ix_jobs_turns_of_owner", "ix_jobs_in_turn"):
            _drop(name)


def _index(name: str, columns: list[str], *, where: str) -> None:
    op.create_index(
        name,
        "jobs",
        columns,
        schema="jobs",
        if_not_exists=True,
        postgresql_concurrently=True,
        postgresql_where=sa.text(where),
    )


def _drop(name: str) -> None:
    op.drop_index(name, table_name="jobs", schema="jobs", if_exists=True, postgresql_concurrently=True)
