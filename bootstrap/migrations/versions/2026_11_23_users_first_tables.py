"""users: first tables."""

import sqlalchemy as sa
from alembic import op

revision = "7fdb56243f73"
down_revision = "5b76098b1ccb"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA users")
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_normalised", sa.Text(), nullable=False),
        sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        schema="users",
    )
    op.create_index("ix_users_created_at", "users", ["created_at", "id"], unique=False, schema="users")
    op.create_index("ix_users_email", "users", ["email", "id"], unique=False, schema="users")
    op.create_index("uq_users_email_normalised", "users", ["email_normalised"], unique=True, schema="users")


def downgrade() -> None:
    op.drop_index("uq_users_email_normalised", table_name="users", schema="users")
    op.drop_index("ix_users_email", table_name="users", schema="users")
    op.drop_index("ix_users_created_at", table_name="users", schema="users")
    op.drop_table("users", schema="users")
    op.execute("DROP SCHEMA users")
