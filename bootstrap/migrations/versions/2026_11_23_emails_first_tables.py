"""emails: first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "5b76098b1ccb"
down_revision = "09f656025c6c"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA emails")
    op.create_table(
        "emails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=32), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("recipient_name", sa.Text(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.Column("when_uncertain", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("frozen", sa.LargeBinary(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_reply", sa.Text(), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
        sa.UniqueConstraint("message_id", name=op.f("uq_emails_message_id")),
        schema="emails",
    )
    op.create_index("ix_emails_created", "emails", ["created_at", "id"], unique=False, schema="emails")
    op.create_index(op.f("ix_emails_owner_id"), "emails", ["owner_id"], unique=False, schema="emails")
    op.create_index(
        "ix_emails_recipient",
        "emails",
        [sa.literal_column("lower(recipient)"), "created_at", "id"],
        unique=False,
        schema="emails",
    )
    op.create_index(
        "ix_emails_status", "emails", ["status", "created_at", "id"], unique=False, schema="emails"
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=32), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("tls", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["email_id"], ["emails.emails.id"], name=op.f("fk_attempts_email_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        schema="emails",
    )
    op.create_index(op.f("ix_attempts_email_id"), "attempts", ["email_id"], unique=False, schema="emails")


def downgrade() -> None:
    op.drop_index(op.f("ix_attempts_email_id"), table_name="attempts", schema="emails")
    op.drop_table("attempts", schema="emails")
    op.drop_index("ix_emails_status", table_name="emails", schema="emails")
    op.drop_index("ix_emails_recipient", table_name="emails", schema="emails")
    op.drop_index(op.f("ix_emails_owner_id"), table_name="emails", schema="emails")
    op.drop_index("ix_emails_created", table_name="emails", schema="emails")
    op.drop_table("emails", schema="emails")
    op.execute("DROP SCHEMA emails")
