"""emails: remember which mails went without their display name."""

import sqlalchemy as sa
from alembic import op

revision = "6d0f5a3c9b21"
down_revision = "4f1d6c0b92ae"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "emails",
        sa.Column("simplified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema="emails",
    )


def downgrade() -> None:
    op.drop_column("emails", "simplified", schema="emails")
