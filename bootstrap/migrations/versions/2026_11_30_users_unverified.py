"""users: find those who have not verified their address."""

import sqlalchemy as sa
from alembic import op

from bootstrap.migrations.indexes import create_index_concurrently

revision = "a1c47e0d93f2"
down_revision = "5b1f0c7d2a9e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "ix_users_unverified",
        "users",
        ["id"],
        schema="users",
        postgresql_where=sa.text("email_verified_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_users_unverified", table_name="users", schema="users")
