"""`tulou make-migration`: writes a migration from the difference between a domain's models and the database."""

import ast
import logging
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from alembic import command
from alembic.script import Script

from bootstrap.container import TulouContainer, domains_of
from bootstrap.migrations.lineage import SchemaStatus
from bootstrap.migrations.runner import alembic_config, look
from bootstrap.settings.model import Settings, SettingsError
from shared.db.models import metadata


def write_migration(settings: Settings, *, message: str, domain: str) -> Path | None:
    """Write a migration for the difference between a domain's models and the database; None if there is none.

    Raises:
        SettingsError: there is no such domain, or the database lacks migrations that are there.
    """
    known = domains_of(TulouContainer(settings=settings))
    if domain not in known:
        raise SettingsError(f"There is no domain {domain}; there are {', '.join(known)}.")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    schema = look(settings)
    if schema.missing:
        raise SettingsError(
            "The database lacks migrations that are there, which would be written once more:"
            " run .venv/bin/tulou migrate first."
        )
    if schema.status is not SchemaStatus.CURRENT:
        raise SettingsError(schema.sentence)
    config = alembic_config(settings)
    config.cmd_opts = Namespace(quiet=True)
    config.attributes["metadata"] = metadata
    config.attributes["schemas"] = {domain}
    config.attributes["writing"] = True
    script = command.revision(config, message=f"{domain}: {message}", autogenerate=True)
    if not isinstance(script, Script):
        return None
    path = Path(script.path)
    _tidy(path)
    return path


def columns_without_a_value(path: Path) -> list[str]:
    """Return the columns that a migration adds and that mustn't be null, but are in the rows that are there already."""
    found = []
    functions = [part for part in ast.parse(path.read_text()).body if isinstance(part, ast.FunctionDef)]
    (upgrade,) = (function for function in functions if function.name == "upgrade")
    for call in ast.walk(upgrade):
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "op.add_column"):
            continue
        (column,) = (part for part in call.args if isinstance(part, ast.Call))
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in column.keywords}
        if said.get("nullable") == "False" and "server_default" not in said:
            found.append(str(ast.literal_eval(column.args[0])))
    return found


def _tidy(path: Path) -> None:
    """Remove Alembic's comments around its operations, and format the rest."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.lstrip().startswith("# ###")))
    if formatter := shutil.which("ruff", path=str(Path(sys.executable).parent)):
        subprocess.run([formatter, "format", "--quiet", path], check=True)  # noqa: S603  # an own file
