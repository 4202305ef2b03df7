"""jobs: attempts, schedules, workers and turns."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "00eb97d57251"
down_revision = "c5c5092a20bd"
branch_labels = None
depends_on = None
fits_since = "00eb97d57251"


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fired_for", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_schedules")),
        schema="jobs",
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "heartbeat_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        schema="jobs",
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.jobs.id"], name=op.f("fk_attempts_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        schema="jobs",
    )
    op.create_index("ix_attempts_job_id", "attempts", ["job_id"], unique=False, schema="jobs")
    op.create_index("ix_attempts_outcome", "attempts", ["outcome", "ended_at"], unique=False, schema="jobs")
    op.drop_table("schedule_fires", schema="jobs")
    op.add_column("jobs", sa.Column("turn", sa.Integer(), server_default="0", nullable=False), schema="jobs")
    op.add_column("jobs", sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True), schema="jobs")
    op.drop_index(
        op.f("ix_jobs_due"),
        table_name="jobs",
        schema="jobs",
        postgresql_where="((state)::text = 'queued'::text)",
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["queue", "priority", "turn", "id"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_jobs_turns",
        "jobs",
        ["owner_id", "queue", "turn"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("state IN ('scheduled', 'queued', 'retrying')"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_jobs_turns",
        table_name="jobs",
        schema="jobs",
        postgresql_where=sa.text("state IN ('scheduled', 'queued', 'retrying')"),
    )
    op.drop_index(
        "ix_jobs_due", table_name="jobs", schema="jobs", postgresql_where=sa.text("state = 'queued'")
    )
    op.create_index(
        op.f("ix_jobs_due"),
        "jobs",
        ["queue", "priority", "run_at", "id"],
        unique=False,
        schema="jobs",
        postgresql_where="((state)::text = 'queued'::text)",
    )
    op.drop_column("jobs", "begun_at", schema="jobs")
    op.drop_column("jobs", "turn", schema="jobs")
    op.create_table(
        "schedule_fires",
        sa.Column("kind", sa.TEXT(), autoincrement=False, nullable=False),
        sa.Column("fired_for", postgresql.TIMESTAMP(timezone=True), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("kind", "fired_for", name=op.f("pk_schedule_fires")),
        schema="jobs",
    )
    op.drop_index("ix_attempts_outcome", table_name="attempts", schema="jobs")
    op.drop_index("ix_attempts_job_id", table_name="attempts", schema="jobs")
    op.drop_table("attempts", schema="jobs")
    op.drop_table("workers", schema="jobs")
    op.drop_table("schedules", schema="jobs")
