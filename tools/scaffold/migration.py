"""Writes migrations of whole domains from their models; needs no database.

`python -m tools.scaffold.migration create invoices` in an interpreter of its own: the models were just written.
"""

import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import alembic.operations.ops as operations
from alembic.autogenerate import render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import rev_id
from sqlalchemy import CheckConstraint, Table

from bootstrap.container import TulouContainer  # noqa: F401  # every domain's models are loaded with it
from bootstrap.migrations.rendering import written
from bootstrap.migrations.runner import FILE_NAMES, FOLDER
from shared.db.models import metadata

DROP_HINT = "# The version before still reads these tables: deploy this one before you migrate."
RENAME_HINT = "# The version before knows the old names: stop it before you migrate."


def create(domain: str) -> Path:
    """Write the migration that makes a domain's schema and tables."""
    return _write(f"{domain}: first tables", _creation(domain), f'op.execute("DROP SCHEMA {domain} CASCADE")')


def drop(domain: str) -> Path:
    """Write the migration that removes them; going back makes them again, empty."""
    return _write(
        f"{domain}: no more",
        f"{DROP_HINT}\n{_execution(_let_through(f'DROP SCHEMA {domain} CASCADE'))}",
        _creation(domain),
        breaks_older=True,
    )


def rename(old: str, new: str, old_singular: str, new_singular: str) -> Path:
    """Write the migration that renames schema, table, indexes and what jobs say of them; things are singulars."""
    there, back = (
        _renaming(old, new, old_singular, new_singular),
        _renaming(new, old, new_singular, old_singular),
    )
    return _write(f"{new}: was {old}", f"{RENAME_HINT}\n{there}", back, breaks_older=True)


def renaming_of_jobs(old: str, new: str, old_singular: str, new_singular: str) -> list[str]:
    """Return the statements by which jobs that wait, and schedules, know a domain and its things by the new names."""
    kind = f"'{new}' || substr(kind, {len(old) + 1})"
    before, after = f"'{old_singular}_id'", f"'{new_singular}_id'"
    payload = f"payload - {before} || jsonb_build_object({after}, payload -> {before})"
    return [
        f"UPDATE jobs.jobs SET kind = {kind} WHERE starts_with(kind, '{old}.')",  # noqa: S608  # names were checked
        f"UPDATE jobs.schedules SET kind = {kind} WHERE starts_with(kind, '{old}.')",  # noqa: S608  # as above
        f"UPDATE jobs.jobs SET payload = {payload} WHERE resource_type = '{old_singular}' AND payload ? {before}",  # noqa: S608  # as above
        f"UPDATE jobs.jobs SET resource_type = '{new_singular}' WHERE resource_type = '{old_singular}'",  # noqa: S608  # as above
    ]


def _creation(domain: str) -> str:
    made: list[operations.MigrateOperation] = [operations.ExecuteSQLOp(f"CREATE SCHEMA {domain}")]
    for table in _tables(domain):
        made.append(operations.CreateTableOp.from_table(table))
        made += [
            operations.CreateIndexOp.from_index(index)
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return _code(made)


def _renaming(old: str, new: str, old_singular: str, new_singular: str) -> str:
    """Say it for the one table of a domain, whichever of both names the models have by now."""
    (table,) = _tables(old) or _tables(new)
    rules = [rule for rule in table.constraints if isinstance(rule, CheckConstraint)]
    indexes, checks = (
        sorted(str(part.name).replace(f"_{table.name}_", "_{}_") for part in parts)
        for parts in (table.indexes, rules)
    )
    lines = [
        f"ALTER SCHEMA {old} RENAME TO {new}",
        f"ALTER TABLE {new}.{old} RENAME TO {new}",
        f"ALTER TABLE {new}.{new} RENAME CONSTRAINT pk_{old} TO pk_{new}",
        *(
            f"ALTER TABLE {new}.{new} RENAME CONSTRAINT {name.format(old)} TO {name.format(new)}"
            for name in checks
        ),
        *(f"ALTER INDEX {new}.{name.format(old)} RENAME TO {name.format(new)}" for name in indexes),
        *renaming_of_jobs(old, new, old_singular, new_singular),
    ]
    return "\n".join(_execution(_let_through(line)) for line in lines)


def _execution(statement: str) -> str:
    """Return the code that runs a statement, in pieces: the formatter breaks lines between them."""
    pieces = [
        piece
        for line in statement.splitlines(keepends=True)
        for piece in textwrap.wrap(line, 80, replace_whitespace=False, drop_whitespace=False)
    ]
    return f"op.execute({' '.join(repr(piece) for piece in pieces)})"


def _let_through(statement: str) -> str:
    """Tell squawk that this statement is meant: whoever runs it was told what it needs."""
    if statement.startswith("DROP SCHEMA"):
        return f"-- squawk-ignore ban-drop-schema\n{statement}"
    rule = "renaming-table" if re.search(r"TABLE \S+ RENAME TO", statement) else "renaming-object"
    return f"-- squawk-ignore {rule}\n{statement}" if "RENAME" in statement else statement


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


WAYS: dict[str, Callable[..., Path]] = {"create": create, "drop": drop, "rename": rename}

if __name__ == "__main__":
    what, *names = sys.argv[1:]
    sys.stdout.write(f"{WAYS[what](*names)}\n")
