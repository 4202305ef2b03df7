"""auth: first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "c5c5092a20bd"
down_revision = "7fdb56243f73"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA auth")
    op.create_table(
        "accounts",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("credentials_version", sa.Integer(), nullable=False),
        sa.Column("registration_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("scopes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_accounts")),
        schema="auth",
    )
    op.create_table(
        "attempts",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("under_way", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key_hash", name=op.f("pk_attempts")),
        schema="auth",
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("ix_attempts_expires_at", "attempts", ["expires_at"], unique=False, schema="auth")
    op.create_table(
        "one_time_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("registration_id", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_tokens")),
        schema="auth",
    )
    op.create_index(
        "ix_one_time_tokens_expires_at", "one_time_tokens", ["expires_at"], unique=False, schema="auth"
    )
    op.create_index("ix_one_time_tokens_user_id", "one_time_tokens", ["user_id"], unique=False, schema="auth")
    op.create_index(
        "uq_one_time_tokens_token_hash", "one_time_tokens", ["token_hash"], unique=True, schema="auth"
    )
    op.create_table(
        "registrations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registrations")),
        schema="auth",
    )
    op.create_index(
        "ix_registrations_user_id", "registrations", ["user_id", "created_at"], unique=False, schema="auth"
    )
    op.create_table(
        "security_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_events")),
        schema="auth",
    )
    op.create_index(
        "ix_security_events_created_at", "security_events", ["created_at"], unique=False, schema="auth"
    )
    op.create_index(
        "ix_security_events_user_id",
        "security_events",
        ["user_id", "created_at"],
        unique=False,
        schema="auth",
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("idle_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("absolute_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_sessions_ended_has_reason")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        schema="auth",
        postgresql_with={"fillfactor": 85},
    )
    op.create_index(
        "ix_sessions_ended_at",
        "sessions",
        ["ended_at"],
        unique=False,
        schema="auth",
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index(
        "ix_sessions_living",
        "sessions",
        ["idle_expires_at"],
        unique=False,
        schema="auth",
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id", "created_at"], unique=False, schema="auth")


def downgrade() -> None:
    op.drop_index("ix_sessions_user_id", table_name="sessions", schema="auth")
    op.drop_index(
        "ix_sessions_living",
        table_name="sessions",
        schema="auth",
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.drop_index(
        "ix_sessions_ended_at",
        table_name="sessions",
        schema="auth",
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.drop_table("sessions", schema="auth")
    op.drop_index("ix_security_events_user_id", table_name="security_events", schema="auth")
    op.drop_index("ix_security_events_created_at", table_name="security_events", schema="auth")
    op.drop_table("security_events", schema="auth")
    op.drop_index("ix_registrations_user_id", table_name="registrations", schema="auth")
    op.drop_table("registrations", schema="auth")
    op.drop_index("uq_one_time_tokens_token_hash", table_name="one_time_tokens", schema="auth")
    op.drop_index("ix_one_time_tokens_user_id", table_name="one_time_tokens", schema="auth")
    op.drop_index("ix_one_time_tokens_expires_at", table_name="one_time_tokens", schema="auth")
    op.drop_table("one_time_tokens", schema="auth")
    op.drop_index("ix_attempts_expires_at", table_name="attempts", schema="auth")
    op.drop_table("attempts", schema="auth")
    op.drop_table("accounts", schema="auth")
    op.execute("DROP SCHEMA auth")
