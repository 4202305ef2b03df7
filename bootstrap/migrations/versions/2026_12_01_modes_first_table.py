"""modes: the mode that operators set for all processes."""

import sqlalchemy as sa
from alembic import op

revision = "a8e2c6f0947b"
down_revision = "74d2f8e06b1c"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA modes")
    op.create_table(
        "modes",
        sa.Column("single", sa.Boolean(), nullable=False),
        sa.Column("mode", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("single", name=op.f("ck_modes_single")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_modes")),
        schema="modes",
    )


def downgrade() -> None:
    op.drop_table("modes", schema="modes")
    op.execute("DROP SCHEMA modes")
