"""idempotency: first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "4f1d6c0b92ae"
down_revision = "00eb97d57251"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA idempotency")
    op.create_table(
        "keys",
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("streamed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("identity", name=op.f("pk_keys")),
        schema="idempotency",
    )
    op.create_index("ix_keys_expires_at", "keys", ["expires_at"], unique=False, schema="idempotency")
    op.create_index("ix_keys_owner_id", "keys", ["owner_id"], unique=False, schema="idempotency")


def downgrade() -> None:
    op.drop_index("ix_keys_owner_id", table_name="keys", schema="idempotency")
    op.drop_index("ix_keys_expires_at", table_name="keys", schema="idempotency")
    op.drop_table("keys", schema="idempotency")
    op.execute("DROP SCHEMA idempotency")
