"""`tulou doctor`: asks everything that the program depends on, and says how to mend what is wrong."""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bootstrap.ailment import Ailment, Risk
from bootstrap.ailments import CHECKS, Check
from bootstrap.container import TulouContainer
from shared.errors import AppError

PATIENCE = 30.0
"""Seconds that one check may take."""

_COLOURS = {"well": "green", "warning": "yellow", "ill": "red"}


@dataclass(frozen=True)
class Finding:
    """What one check came to. `cure` is empty when all is well. A warning doesn't make the whole ill."""

    name: str
    state: Literal["well", "warning", "ill"]
    finding: str
    cure: str


async def examine(container: TulouContainer) -> list[Finding]:
    """Ask everything at once."""
    return list(await asyncio.gather(*(_examined(check, container) for check in CHECKS)))


def print_findings(findings: list[Finding], *, as_json: bool) -> bool:
    """Print a table or JSON; return whether all is well."""
    well = all(finding.state != "ill" for finding in findings)
    if as_json:
        checks = [asdict(finding) for finding in findings]
        sys.stdout.write(json.dumps({"well": well, "checks": checks}, indent=2) + "\n")
        return well
    table = Table("what", "state", "how to mend it", title="Doctor")
    for finding in findings:
        table.add_row(finding.name, Text(finding.finding, style=_COLOURS[finding.state]), finding.cure)
    Console().print(table)
    return well


async def _examined(check: Check, container: TulouContainer) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE):
            return Finding(check.name, "well", await check.ask(container), "")
    except TimeoutError:
        return Finding(check.name, "ill", f"No answer within {PATIENCE:.0f} s.", check.cure)
    except Risk as risk:
        return Finding(check.name, "warning", str(risk), risk.cure)
    except Ailment as ailment:
        return Finding(check.name, "ill", str(ailment), ailment.cure)
    except Exception as error:  # noqa: BLE001  # however a check breaks, the others are asked
        return Finding(check.name, "ill", _sentence(error), check.cure)


def _sentence(error: Exception) -> str:
    return error.detail if isinstance(error, AppError) else f"{type(error).__name__}: {error}"
