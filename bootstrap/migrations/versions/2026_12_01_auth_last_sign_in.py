"""auth: keep when somebody signed in last, and limits of single people."""

import sqlalchemy as sa
from alembic import op

revision = "f3b86a12c07d"
down_revision = "d7b52c90e1a4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "accounts",
        sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True),
        schema="auth",
    )
    op.create_table(
        "allowances",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("max_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_files", sa.BigInteger(), nullable=True),
        sa.Column("max_requests", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_allowances")),
        schema="auth",
    )


def downgrade() -> None:
    op.drop_table("allowances", schema="auth")
    op.drop_column("accounts", "last_sign_in_at", schema="auth")
