"""emails: erase what servers said of a person through a function, as nothing else may change attempts."""

from alembic import op

revision = "c17f60b5e284"
down_revision = "8a2c41e7d953"
branch_labels = None
depends_on = None

_ERASE = """
CREATE FUNCTION emails.erase_replies(owner uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH erased AS (
        UPDATE emails.attempts SET reply = NULL
        FROM emails.emails
        WHERE attempts.email_id = emails.id AND emails.owner_id = erase_replies.owner
        RETURNING 1
    )
    SELECT count(*) FROM erased
$$
"""


def upgrade() -> None:
    op.execute(_ERASE)
    op.execute("REVOKE ALL ON FUNCTION emails.erase_replies FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION emails.erase_replies")
