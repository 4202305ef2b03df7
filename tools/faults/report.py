"""The table, for the terminal and for a page."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from tools.faults.attacks.report import SECTION, Outcome, page_lines
from tools.faults.oracle import Row
from tools.faults.register import Fault

PROJECT = Path(__file__).parents[2]
PREFACE = (
    "Written by `make faults`; do not edit. Each fault is injected into real processes: API, relay, workers,",
    "PostgreSQL, Valkey, a mail server. `accepted`: requests with a 2xx response. `done`: effects that were counted",
    "afterwards. [Testing](testing.md) has the commands, [Jobs](jobs.md) the guarantees. A lease is 4 s here, 60 s by",
    "default.",
)
SEEN = "## Observations for each fault"
FIGURES = ("accepted", "done", "lost", "doubled", "uncertain", "longest wait", "seconds")


@dataclass(frozen=True)
class Result:
    """A fault and what came of it."""

    fault: Fault
    row: Row

    @property
    def figures(self) -> list[str]:
        """The numbers, as text."""
        row = self.row
        counts = [row.accepted, row.done, row.lost, row.doubled, row.uncertain]
        return [*(f"{count:,}" for count in counts), f"{row.longest_wait:.1f} s", f"{row.seconds:.0f}"]

    @property
    def verdict(self) -> str:
        """Whether the fault was survived, in a word."""
        return "survived" if self.row.is_green else "NOT SURVIVED"


def as_table(results: Sequence[Result]) -> Table:
    """Return the table for a terminal."""
    table = Table("#", "fault", title="Faults")
    for figure in FIGURES:
        table.add_column(figure, justify="right")
    table.add_column("verdict")
    for result in results:
        style = None if result.row.is_green else "bold red"
        table.add_row(
            str(result.fault.number), result.fault.title, *result.figures, result.verdict, style=style
        )
    return table


def write_page(
    path: Path, results: Sequence[Result], outcomes: Sequence[Outcome], *, scale: float, seed: int
) -> None:
    """Write the table, the figures behind it and where they come from."""
    survived = sum(result.row.is_green for result in results)
    lines = [
        "# Reliability",
        "",
        *PREFACE,
        "",
        f"- {survived} of {len(results)} faults survived",
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {version()}, scale {scale:g}, seed {seed}",
        f"- {machine()}",
        "",
        f"| # | fault | {' | '.join(FIGURES)} | verdict |",
        f"|---|---|{'---:|' * len(FIGURES)}---|",
    ]
    lines += [
        f"| {result.fault.number} | {result.fault.title} | {' | '.join(result.figures)} | {result.verdict} |"
        for result in results
    ]
    lines += [
        "",
        "`longest wait`: seconds from acceptance to effect, including the duration of the fault.",
        "",
    ]
    lines += page_lines(outcomes)
    lines += [SEEN, ""]
    for result in results:
        lines += [f"**{result.fault.number}. {result.fault.title}.** Expected: {result.fault.expected}.", ""]
        lines += [f"- NOT AS EXPECTED: {text}" for text in result.row.broken]
        lines += [f"- {text}" for text in result.row.notes]
        lines.append("")
    path.write_text("\n".join(lines))


def write_attacks(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Put the attacks' section into the page, and leave the faults as they are there."""
    before, _, seen = path.read_text().partition(SEEN)
    faults = before.partition(SECTION)[0]
    path.write_text(faults + "\n".join(page_lines(outcomes)) + "\n" + SEEN + seen)


def version() -> str:
    """Return the commit."""
    asked = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def machine() -> str:
    """Return what this was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kernel, python = platform.release().split("-")[0], platform.python_version()
    return f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, Linux {kernel}, Python {python}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
