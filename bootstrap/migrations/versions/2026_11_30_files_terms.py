"""files: search vectors of every script.

The texts that are there are converted by the job `files.index`, in batches: this only makes room for them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "b1f0c7d24e6a"
down_revision = "c17f60b5e284"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("texts", sa.Column("terms", postgresql.TSVECTOR(), nullable=True), schema="files")
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_texts_terms",
            "texts",
            ["terms"],
            schema="files",
            postgresql_using="gin",
            if_not_exists=True,
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_texts_not_indexed",
            "texts",
            ["owner_id"],
            schema="files",
            postgresql_where=sa.text("terms IS NULL"),
            if_not_exists=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_texts_not_indexed", table_name="texts", schema="files")
    op.drop_index("ix_texts_terms", table_name="texts", schema="files", postgresql_using="gin")
    op.drop_column("texts", "terms", schema="files")
