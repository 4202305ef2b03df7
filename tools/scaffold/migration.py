"""Writes migrations of whole domains from their models; needs no database.

`python -m tools.scaffold.migration create invoices` in an interpreter of its own: the models were just written.
"""

import sys
import textwrap
from pathlib import Path

import alembic.operations.ops as operations
from alembic.autogenerate import render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import rev_id
from sqlalchemy import Table

from bootstrap.container import TulouContainer  # noqa: F401  # every domain's models are loaded with it
from bootstrap.migrations.rendering import written
from bootstrap.migrations.runner import FILE_NAMES, FOLDER
from shared.db.models import metadata
from tools.scaffold.domain_map import domain_map
from tools.scaffold.drawing import write_map

DROP_HINT = "# The version before still reads these tables: deploy this one before you migrate."


def create(domain: str) -> Path:
    """Write the migration that makes a domain's schema and tables."""
    return _write(f"{domain}: first tables", _creation(domain), f'op.execute("DROP SCHEMA {domain} CASCADE")')


def drop(domain: str) -> Path:
    """Write the migration that removes them; a downgrade makes them again, empty."""
    # squawk refuses to drop a schema unless the statement says that it is meant.
    statement = f'op.execute("-- squawk-ignore ban-drop-schema\\n" "DROP SCHEMA {domain} CASCADE")'
    return _write(f"{domain}: no more", f"{DROP_HINT}\n{statement}", _creation(domain), breaks_older=True)


def _creation(domain: str) -> str:
    made: list[operations.MigrateOperation] = [operations.ExecuteSQLOp(f"CREATE SCHEMA {domain}")]
    for table in _tables(domain):
        made.append(operations.CreateTableOp.from_table(table))
        made += [
            operations.CreateIndexOp.from_index(index)
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return _code(made)


def _tables(domain: str) -> list[Table]:
    return [table for table in metadata.sorted_tables if table.schema == domain]


def _code(made: list[operations.MigrateOperation]) -> str:
    context = MigrationContext.configure(dialect_name="postgresql", opts={"target_metadata": metadata})
    code = render_python_code(operations.UpgradeOps(ops=made), migration_context=context, render_item=written)
    code = code.replace(", unique=False", "")
    # Alembic asks to adjust what it writes, and indents all but the first line, which asks so.
    return textwrap.dedent("\n".join(line for line in code.splitlines() if "# ###" not in line))


def _write(message: str, upgrades: str, downgrades: str, *, breaks_older: bool = False) -> Path:
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", FILE_NAMES)
    scripts = ScriptDirectory.from_config(config)
    script = scripts.generate_revision(
        rev_id(),
        message,
        head=scripts.get_current_head(),
        imports="from sqlalchemy.dialects import postgresql"
        if "postgresql." in upgrades + downgrades
        else "",
        upgrades=upgrades.replace("\n", "\n    "),
        downgrades=downgrades.replace("\n", "\n    "),
        breaks_older=breaks_older,
    )
    if script is None:
        raise RuntimeError(message)
    return Path(script.path)


if __name__ == "__main__":
    what, domain = sys.argv[1:]
    if what == "create":
        # In this interpreter, because another one takes a second to load the program.
        write_map(domain_map())
    sys.stdout.write(f"{create(domain) if what == 'create' else drop(domain)}\n")
