"""Runs all checks at once, each within a deadline, and prints their findings."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import asyncpg
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from bootstrap.container import TulouContainer
from bootstrap.diagnosis.errors import CheckFailed, CheckWarning
from bootstrap.doctor.checks import CHECKS, HealthCheck
from bootstrap.doctor.database import explained, try_to_connect
from bootstrap.settings.environment import known_variables
from bootstrap.settings.loading import UnusableSettings
from bootstrap.settings.model import Settings
from shared.errors import AppError, DatabaseUnavailable

EXIT_CODES = {"well": 0, "warning": 3, "ill": 1}
"""Exit codes by the worst state."""

_COLOURS = {"well": "green", "warning": "yellow", "ill": "red"}

State = Literal["well", "warning", "ill"]


@dataclass(frozen=True)
class Finding:
    """The result of one check. `cure` is empty if it passed."""

    name: str
    state: State
    finding: str
    cure: str


async def run_checks(container: TulouContainer, checks: Sequence[HealthCheck] = CHECKS) -> list[Finding]:
    """Run all checks at once; those that need PostgreSQL follow its login."""
    connecting = asyncio.create_task(try_to_connect(container.settings()))
    try:
        return list(await asyncio.gather(*(_run_check(check, container, connecting) for check in checks)))
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


def settings_findings(error: UnusableSettings) -> list[Finding]:
    """Return one finding for each setting that can't be used."""
    return [Finding("settings", "ill", f"{problem}.", _remedy_of(problem)) for problem in error.problems]


def worst_of(findings: Sequence[Finding]) -> State:
    """Return `ill` if any finding is, else `warning` if any is."""
    states = {finding.state for finding in findings}
    return "ill" if "ill" in states else "warning" if "warning" in states else "well"


def print_findings(findings: list[Finding], *, as_json: bool) -> int:
    """Print a table or JSON; return the exit code."""
    worst = worst_of(findings)
    if as_json:
        checks = [asdict(finding) for finding in findings]
        sys.stdout.write(json.dumps({"well": worst == "well", "checks": checks}, indent=2) + "\n")
        return EXIT_CODES[worst]
    table = Table("what", "state", "how to fix it", title="Doctor")
    for finding in findings:
        table.add_row(finding.name, Text(finding.finding, style=_COLOURS[finding.state]), Text(finding.cure))
    Console().print(table)
    return EXIT_CODES[worst]


def _remedy_of(problem: str) -> str:
    variable = problem.partition(" ")[0].rstrip(":")
    if variable.upper() in known_variables(Settings.model_fields):
        return f"Set {variable} to a value that docs/settings.md allows."
    return (
        f"Take {variable} out of the environment, or correct its name; docs/settings.md lists all settings."
    )


async def _run_check(
    check: HealthCheck, container: TulouContainer, connecting: asyncio.Task[None]
) -> Finding:
    settings = container.settings()
    patience = settings.doctor_patience
    try:
        async with asyncio.timeout(patience):
            if check.needs_database:
                await asyncio.shield(connecting)
            return Finding(check.name, "well", await _asked(check, container), "")
    except TimeoutError:
        place = check.where(settings) or "This machine"
        return Finding(
            check.name,
            "ill",
            f"{place} did not respond within {patience:g} s (TULOU_DOCTOR_PATIENCE).",
            "Look at its log and at the load of its machine, restart it if it hangs; a check that is only slow needs a"
            " larger TULOU_DOCTOR_PATIENCE.",
        )
    except CheckWarning as risk:
        return Finding(check.name, "warning", str(risk), risk.remedy)
    except CheckFailed as failure:
        return Finding(check.name, "ill", str(failure), failure.remedy)
    except Exception as error:  # noqa: BLE001  # one broken check must not stop the others
        sentence = error.detail if isinstance(error, AppError) else f"{type(error).__name__}."
        return Finding(
            check.name,
            "ill",
            f"The check broke: {sentence}",
            f"Look at the log of {check.where(settings) or 'Tulou'}.",
        )


async def _asked(check: HealthCheck, container: TulouContainer) -> str:
    """Run the check; explain an error of a statement by its SQLSTATE."""
    try:
        return await check.ask(container)
    except (DatabaseUnavailable, asyncpg.PostgresError, DBAPIError) as error:
        raise await explained(container.settings(), error) from error
