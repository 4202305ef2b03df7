"""users: find those who have not verified their address."""

import sqlalchemy as sa
from alembic import op

revision = "a1c47e0d93f2"
down_revision = "5b1f0c7d2a9e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_users_unverified",
            "users",
            ["id"],
            schema="users",
            postgresql_where=sa.text("email_verified_at IS NULL"),
            if_not_exists=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_users_unverified", table_name="users", schema="users")
