"""emails: delete old mails that have ended through a function, as the application may delete none."""

from alembic import op

revision = "74d2f8e06b1c"
down_revision = "0c9e5d71b3a8"
branch_labels = None
depends_on = None

_PRUNE = """
CREATE FUNCTION emails.prune_emails(before timestamptz, most bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH old AS (
        SELECT emails.id FROM emails.emails
        WHERE emails.status IN ('sent', 'delivered', 'bounced', 'complained', 'suppressed', 'failed', 'cancelled')
          AND emails.created_at < least(prune_emails.before, now() - interval '30 days')
          AND emails.updated_at < least(prune_emails.before, now() - interval '30 days')
        ORDER BY emails.created_at LIMIT prune_emails.most
        FOR UPDATE SKIP LOCKED
    ), pruned AS (
        DELETE FROM emails.emails USING old WHERE emails.id = old.id RETURNING 1
    )
    SELECT count(*) FROM pruned
$$
"""


def upgrade() -> None:
    op.execute(_PRUNE)
    op.execute("REVOKE ALL ON FUNCTION emails.prune_emails FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION emails.prune_emails")
