"""users: start the clock of unverified accounts that exist at the upgrade."""

import sqlalchemy as sa
from alembic import op

revision = "d7b52c90e1a4"
down_revision = "e3a9d1547c60"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # now() is evaluated once, so that every existing row has the time of the upgrade and the table is not rewritten.
    op.add_column(
        "users",
        sa.Column(
            "unverified_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        schema="users",
    )


def downgrade() -> None:
    op.drop_column("users", "unverified_since", schema="users")
