"""The attacks as a table, for the terminal and for the page."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.table import Table

from tools.faults.attacks.register import (
    LONGEST_WAIT,
    MOST_GROWTH,
    MOST_GROWTH_AGAIN,
    Attack,
    Finding,
)
from tools.faults.client import percentile

SECTION = "## One client against all others"
FIGURES = ("before", "peak", "after", "after a second round", "others' p50", "p99", "seconds")


@dataclass(frozen=True)
class Outcome:
    """An attack and what came of it."""

    attack: Attack
    finding: Finding

    @property
    def figures(self) -> list[str]:
        """The numbers, as text; a dash where an attack has none."""
        finding, memory = self.finding, self.finding.memory
        sizes = ["-"] * 4
        if memory is not None:
            found = (memory.before, memory.peak, memory.after, memory.after_again)
            sizes = [f"{size:.0f} MiB" for size in found]
        waits = ["-"] * 2
        if finding.waits:
            waits = [f"{percentile(finding.waits, share) * 1000:.0f} ms" for share in (50, 99)]
        return [*sizes, *waits, f"{finding.seconds:.0f}"]

    @property
    def verdict(self) -> str:
        """Whether the attack was withstood, in a word."""
        return "withstood" if self.finding.is_green else "NOT WITHSTOOD"


def as_table(outcomes: Sequence[Outcome]) -> Table:
    """Return the table for a terminal."""
    table = Table("attack", title="One client against all others")
    for figure in FIGURES:
        table.add_column(figure, justify="right")
    table.add_column("verdict")
    for outcome in outcomes:
        style = None if outcome.finding.is_green else "bold red"
        table.add_row(outcome.attack.title, *outcome.figures, outcome.verdict, style=style)
    return table


def page_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the section of the page."""
    withstood = sum(outcome.finding.is_green for outcome in outcomes)
    lines = [
        SECTION,
        "",
        "One client attacks one API process, twice, while others ask `GET /v1/users/me`. Sizes are resident memory",
        f"of the process: it may grow by {MOST_GROWTH:.0f} MiB, the second round may add {MOST_GROWTH_AGAIN:.0f} MiB.",
        f"The others' p99 stays under {LONGEST_WAIT * 1000:.0f} ms.",
        "",
        f"- {withstood} of {len(outcomes)} attacks withstood",
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        "",
        f"| attack | {' | '.join(FIGURES)} | verdict |",
        f"|---|{'---:|' * len(FIGURES)}---|",
    ]
    lines += [
        f"| {outcome.attack.title} | {' | '.join(outcome.figures)} | {outcome.verdict} |"
        for outcome in outcomes
    ]
    lines.append("")
    for outcome in outcomes:
        lines += [f"**{outcome.attack.title}.** Expected: {outcome.attack.expected}.", ""]
        lines += [f"- NOT AS EXPECTED: {text}" for text in outcome.finding.broken]
        lines += [f"- {text}" for text in outcome.finding.notes]
        lines.append("")
    return lines
