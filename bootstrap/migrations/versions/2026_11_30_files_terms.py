"""files: search vectors of every script.

The texts that are there are converted by the job `files.index`, in batches: this only makes room for them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from bootstrap.migrations.indexes import create_index_concurrently

revision = "b1f0c7d24e6a"
down_revision = "c17f60b5e284"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "texts", sa.Column("terms", postgresql.TSVECTOR(), nullable=True), schema="files", if_not_exists=True
    )
    create_index_concurrently("ix_texts_terms", "texts", ["terms"], schema="files", postgresql_using="gin")
    create_index_concurrently(
        "ix_texts_not_indexed",
        "texts",
        ["owner_id"],
        schema="files",
        postgresql_where=sa.text("terms IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_texts_not_indexed", table_name="texts", schema="files")
    op.drop_index("ix_texts_terms", table_name="texts", schema="files", postgresql_using="gin")
    op.drop_column("texts", "terms", schema="files")
