"""files: first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "09f656025c6c"
down_revision = "0cb19315d07d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE SCHEMA files")
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("copies >= 0", name=op.f("ck_blobs_copies_not_negative")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blobs")),
        sa.UniqueConstraint("storage_key", name=op.f("uq_blobs_storage_key")),
        schema="files",
    )
    op.create_table(
        "usage",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.CheckConstraint("bytes >= 0", name=op.f("ck_usage_bytes_not_negative")),
        sa.CheckConstraint("count >= 0", name=op.f("ck_usage_count_not_negative")),
        sa.CheckConstraint("reserved >= 0", name=op.f("ck_usage_reserved_not_negative")),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_usage")),
        schema="files",
    )
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=True),
        sa.Column("declared_content_type", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("upload_key", sa.Text(), nullable=True),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("client_metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'uploading') = (sha256 IS NULL)", name=op.f("ck_files_stored_has_digest")
        ),
        sa.CheckConstraint(
            "(status = 'uploading') = (upload_key IS NOT NULL)", name=op.f("ck_files_uploading_has_key")
        ),
        sa.ForeignKeyConstraint(["sha256"], ["files.blobs.sha256"], name=op.f("fk_files_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        schema="files",
    )
    op.create_index("ix_files_owner", "files", ["owner_id", "created_at", "id"], unique=False, schema="files")
    op.create_index(op.f("ix_files_sha256"), "files", ["sha256"], unique=False, schema="files")
    op.create_index(
        "ix_files_trash",
        "files",
        ["deleted_at"],
        unique=False,
        schema="files",
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_files_unsettled",
        "files",
        ["status", "updated_at"],
        unique=False,
        schema="files",
        postgresql_where=sa.text("status IN ('uploading', 'processing')"),
    )
    op.create_table(
        "renditions",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("problem", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.files.id"], name=op.f("fk_renditions_file_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("file_id", "name", name=op.f("pk_renditions")),
        schema="files",
    )
    op.create_table(
        "texts",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column(
            "search",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('simple'::regconfig, name || ' ' || body)", persisted=True),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.files.id"], name=op.f("fk_texts_file_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("file_id", "part", name=op.f("pk_texts")),
        schema="files",
    )
    op.create_index("ix_texts_owner", "texts", ["owner_id"], unique=False, schema="files")
    op.create_index(
        "ix_texts_search", "texts", ["search"], unique=False, schema="files", postgresql_using="gin"
    )


def downgrade() -> None:
    op.drop_index("ix_texts_search", table_name="texts", schema="files", postgresql_using="gin")
    op.drop_index("ix_texts_owner", table_name="texts", schema="files")
    op.drop_table("texts", schema="files")
    op.drop_table("renditions", schema="files")
    op.drop_index(
        "ix_files_unsettled",
        table_name="files",
        schema="files",
        postgresql_where=sa.text("status IN ('uploading', 'processing')"),
    )
    op.drop_index(
        "ix_files_trash",
        table_name="files",
        schema="files",
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.drop_index(op.f("ix_files_sha256"), table_name="files", schema="files")
    op.drop_index("ix_files_owner", table_name="files", schema="files")
    op.drop_table("files", schema="files")
    op.drop_table("usage", schema="files")
    op.drop_table("blobs", schema="files")
    op.execute("DROP SCHEMA files")
