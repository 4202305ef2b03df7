"""Updates of many rows in a migration, in batches, so that few are locked at a time."""

from alembic import op

from bootstrap.migrations.indexes import is_single_transaction

_BATCHES = """
DO $$
DECLARE changed integer;
BEGIN
  LOOP
    {statement};
    GET DIAGNOSTICS changed = ROW_COUNT;
    EXIT WHEN changed = 0;
    {commit}
  END LOOP;
END $$
"""


def update_in_batches(statement: str) -> None:
    """Run a statement until it changes no row, and commit after each time.

    It limits the rows that it changes (500 is plenty), and must not change a row twice. It commits what the migration
    did before. In a restore, which runs migrations in one transaction, nothing is committed between the batches.
    """
    with op.get_context().autocommit_block():
        op.execute(
            _BATCHES.format(statement=statement.strip(), commit="" if is_single_transaction() else "COMMIT;")
        )
