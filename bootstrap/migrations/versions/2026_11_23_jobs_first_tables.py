"""jobs: first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0cb19315d07d"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA jobs")
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("payload_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress_current", sa.Integer(), nullable=False),
        sa.Column("progress_total", sa.Integer(), nullable=True),
        sa.Column("progress_message", sa.Text(), nullable=True),
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("concurrency_key", sa.Text(), nullable=True),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("resource_type", sa.Text(), nullable=True),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_token IS NOT NULL)", name=op.f("ck_jobs_running_is_leased")
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_over_is_finished"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        schema="jobs",
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["queue", "priority", "run_at", "id"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_jobs_finished",
        "jobs",
        ["state", "finished_at"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_leases",
        "jobs",
        ["lease_expires_at"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("ix_jobs_owner", "jobs", ["owner_id", "created_at", "id"], unique=False, schema="jobs")
    op.create_index("ix_jobs_resource", "jobs", ["resource_id"], unique=False, schema="jobs")
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["run_at"],
        unique=False,
        schema="jobs",
        postgresql_where=sa.text("state IN ('scheduled', 'retrying')"),
    )
    op.create_index(
        "uq_jobs_concurrency_key",
        "jobs",
        ["concurrency_key"],
        unique=True,
        schema="jobs",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "uq_jobs_unique_key",
        "jobs",
        ["kind", "unique_key"],
        unique=True,
        schema="jobs",
        postgresql_where=sa.text("state IN ('scheduled', 'queued', 'running', 'retrying')"),
    )
    op.create_table(
        "schedule_fires",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fired_for", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "fired_for", name=op.f("pk_schedule_fires")),
        schema="jobs",
    )


def downgrade() -> None:
    op.drop_table("schedule_fires", schema="jobs")
    op.drop_index(
        "uq_jobs_unique_key",
        table_name="jobs",
        schema="jobs",
        postgresql_where=sa.text("state IN ('scheduled', 'queued', 'running', 'retrying')"),
    )
    op.drop_index(
        "uq_jobs_concurrency_key",
        table_name="jobs",
        schema="jobs",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.drop_index(
        "ix_jobs_waiting",
        table_name="jobs",
        schema="jobs",
        postgresql_where=sa.text("state IN ('scheduled', 'retrying')"),
    )
    op.drop_index("ix_jobs_resource", table_name="jobs", schema="jobs")
    op.drop_index("ix_jobs_owner", table_name="jobs", schema="jobs")
    op.drop_index(
        "ix_jobs_leases", table_name="jobs", schema="jobs", postgresql_where=sa.text("state = 'running'")
    )
    op.drop_index(
        "ix_jobs_finished",
        table_name="jobs",
        schema="jobs",
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_jobs_due", table_name="jobs", schema="jobs", postgresql_where=sa.text("state = 'queued'")
    )
    op.drop_table("jobs", schema="jobs")
    op.execute("DROP SCHEMA jobs")
