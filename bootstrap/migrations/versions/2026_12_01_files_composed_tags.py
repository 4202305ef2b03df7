"""files: compose the tags that are there, for a search composes what it looks for."""

from bootstrap.migrations.batches import update_in_batches

revision = "e3a9d1547c60"
down_revision = "b1f0c7d24e6a"
branch_labels = None
depends_on = None

# Each batch commits, so no transaction locks more than 500 rows. Most tags are composed already.
COMPOSE = """
UPDATE files.files
  SET tags = ARRAY(
        SELECT normalize(tag, NFC) FROM unnest(tags) WITH ORDINALITY AS given (tag, place)
        GROUP BY 1 ORDER BY min(place)
      ),
      revision = revision + 1
  WHERE id IN (
    SELECT id FROM files.files
    WHERE EXISTS (SELECT FROM unnest(tags) AS given (tag) WHERE tag IS NOT NFC NORMALIZED)
    ORDER BY id LIMIT 500
  )
"""


def upgrade() -> None:
    update_in_batches(COMPOSE)


def downgrade() -> None:
    """Composed tags are as good for the version before."""
