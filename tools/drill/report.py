"""The table, for the terminal and for a page."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from tools.drill.register import Finding, Rehearsal
from tools.faults.report import machine, version

PREFACE = (
    "Written by `make drill`; do not edit. Each rehearsal runs real processes under load: two APIs behind a",
    "proxy, a relay, workers, PostgreSQL, Valkey and a mail server. Clients send 100 requests a second: most read,",
    "some queue jobs, some upload files and download them. `refused`: 503 with `Retry-After`. `failures`: all",
    "other unexpected responses. [Operating](operating.md) says what to do in each case.",
)
FIGURES = ("requests", "refused", "failures", "longest wait", "seconds")


@dataclass(frozen=True)
class Result:
    """A rehearsal and what came of it."""

    rehearsal: Rehearsal
    finding: Finding

    @property
    def figures(self) -> list[str]:
        """The numbers, as text."""
        clients = self.finding.clients
        if not clients.requests:
            return ["-", "-", "-", "-", f"{self.finding.seconds:.0f}"]
        counts = [clients.requests, clients.refused, len(clients.failures)]
        return [
            *(f"{count:,}" for count in counts),
            f"{clients.longest:.1f} s",
            f"{self.finding.seconds:.0f}",
        ]

    @property
    def verdict(self) -> str:
        """Whether everything was as expected."""
        return "passed" if self.finding.is_green else "FAILED"


def as_table(results: Sequence[Result]) -> Table:
    """Return the table for a terminal."""
    table = Table("rehearsal", title="Drill")
    for figure in FIGURES:
        table.add_column(figure, justify="right")
    table.add_column("verdict")
    for result in results:
        style = None if result.finding.is_green else "bold red"
        table.add_row(result.rehearsal.title, *result.figures, result.verdict, style=style)
    return table


def write_page(path: Path, results: Sequence[Result], *, scale: float) -> None:
    """Write the table, and what was seen of each rehearsal."""
    passed = sum(result.finding.is_green for result in results)
    lines = [
        "# Drill",
        "",
        *PREFACE,
        "",
        f"- {passed} of {len(results)} rehearsals passed",
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {version()}, scale {scale:g}",
        f"- {machine()}",
        "",
        f"| rehearsal | {' | '.join(FIGURES)} | verdict |",
        f"|---|{'---:|' * len(FIGURES)}---|",
    ]
    lines += [
        f"| {result.rehearsal.title} | {' | '.join(result.figures)} | {result.verdict} |"
        for result in results
    ]
    lines.append("")
    for result in results:
        lines += [f"**{result.rehearsal.title}.** Expected: {result.rehearsal.expected}.", ""]
        lines += [f"- NOT AS EXPECTED: {text}" for text in result.finding.broken]
        lines += [f"- {text}" for text in result.finding.notes]
        lines.append("")
    folder = re.compile(rf"{re.escape(tempfile.gettempdir())}/tulou-[\w-]+")
    path.write_text(folder.sub("FOLDER", "\n".join(lines)))
