"""auth: prune the trail of security events through a function, as nothing else may change it."""

from alembic import op

revision = "8a2c41e7d953"
down_revision = "a1c47e0d93f2"
branch_labels = None
depends_on = None

_PRUNE = """
CREATE FUNCTION auth.prune_security_events(before timestamptz) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH pruned AS (
        DELETE FROM auth.security_events
        WHERE created_at < least(before, now() - interval '90 days') RETURNING 1
    )
    SELECT count(*) FROM pruned
$$
"""


def upgrade() -> None:
    op.execute(_PRUNE)
    op.execute("REVOKE ALL ON FUNCTION auth.prune_security_events FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION auth.prune_security_events")
