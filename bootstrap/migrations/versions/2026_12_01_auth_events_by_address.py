"""auth: find security events by the network address that they came from."""

from alembic import op

from bootstrap.migrations.indexes import create_index_concurrently

revision = "0c9e5d71b3a8"
down_revision = "f3b86a12c07d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "ix_security_events_address", "security_events", ["address", "created_at"], schema="auth"
    )


def downgrade() -> None:
    op.drop_index("ix_security_events_address", table_name="security_events", schema="auth")
