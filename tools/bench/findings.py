"""Results and their report: a table in the terminal, or a page of Markdown."""

import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tools.bench.sides import Drain

SIDES = ("durable", "bare")
KINDS = {"nothing": "a job that does nothing", "row": "a job that writes a row"}
WIDTH = 100
PREFACE = (
    "Each side has a worker with two children and the same broker. The queue is filled while the worker is stopped",
    "(SIGSTOP); then it continues. Both log only warnings. Celery acknowledges early and stores no results, so it",
    "may lose all of these jobs. Tulou writes each job and its end to PostgreSQL. `tools/bench/` has the programs.",
)
Lines = list[tuple[str, ...]]


@dataclass
class Findings:
    """Drains by kind and side; waits in seconds, ascending; memory in MiB, one figure for each child."""

    drains: dict[tuple[str, str], list[Drain]] = field(default_factory=dict)
    idle: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    load_rate: float = 0.0
    memory_before: list[float] = field(default_factory=list)
    memory_after: list[float] = field(default_factory=list)

    def rate(self, kind: str, side: str) -> float:
        """Return the median of the rounds, in jobs a second."""
        return statistics.median(drain.rate for drain in self.drains[kind, side])

    def ratio(self, kind: str) -> float:
        """Return the median of the rounds' ratios, durable to bare."""
        pairs = zip(self.drains[kind, "durable"], self.drains[kind, "bare"], strict=True)
        return statistics.median(durable.rate / bare.rate for durable, bare in pairs)

    def growth(self) -> float:
        """Return by how many percent the children's memory has grown, on average."""
        return 100 * (statistics.mean(self.memory_after) / statistics.mean(self.memory_before) - 1)


@dataclass(frozen=True)
class ReportTable:
    """A table: title, heads, lines."""

    title: str
    heads: tuple[str, ...]
    lines: Lines


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of the ascending values don't exceed."""
    return values[max(0, round(len(values) * percent / 100) - 1)]


def report_tables(findings: Findings) -> list[ReportTable]:
    """Return the tables."""
    return [_rates(findings), _costs(findings), _waits(findings), _memory(findings)]


def print_findings(findings: Findings) -> None:
    """Print the tables to the terminal."""
    console = Console(width=max(WIDTH, Console().width))
    for report_table in report_tables(findings):
        table = Table(title=report_table.title, title_justify="left")
        for number, head in enumerate(report_table.heads):
            table.add_column(head, justify="right" if number else "left")
        for line in report_table.lines:
            table.add_row(*line)
        console.print(table)


def write_findings(findings: Findings, path: Path) -> None:
    """Write the tables as a page of Markdown, with what they were measured on."""
    parts = ["# Jobs: throughput, pick-up, memory", "", _origin(), "", *PREFACE, ""]
    for report_table in report_tables(findings):
        parts += [
            f"## {report_table.title}",
            "",
            _row(report_table.heads),
            _row(["---"] * len(report_table.heads)),
        ]
        parts += [*(_row(line) for line in report_table.lines), ""]
    path.write_text("\n".join(parts))


def _rates(findings: Findings) -> ReportTable:
    lines: Lines = []
    for kind, meaning in KINDS.items():
        rounds = findings.drains[kind, "durable"]
        lines.append(
            (
                meaning,
                f"{findings.rate(kind, 'durable'):.0f}",
                f"{findings.rate(kind, 'bare'):.0f}",
                f"{findings.ratio(kind):.2f}",
                " ".join(f"{drain.rate:.0f}" for drain in rounds),
                " ".join(f"{drain.rate:.0f}" for drain in findings.drains[kind, "bare"]),
            )
        )
    number = findings.drains["nothing", "durable"][0].jobs
    heads = ("jobs a second", "Tulou", "bare Celery", "ratio", "rounds", "rounds of Celery")
    return ReportTable(f"Throughput: {number:,} jobs, medians", heads, lines)


def _costs(findings: Findings) -> ReportTable:
    lines = [
        _cost(f"{side}: {meaning}", findings.drains[kind, name])
        for kind, meaning in KINDS.items()
        for name, side in zip(SIDES, ("Tulou", "bare Celery"), strict=True)
    ]
    heads = ("per job", "worker us", "PostgreSQL us", "Valkey us", "commits", "log bytes")
    return ReportTable("Cost per job: processor time and PostgreSQL's log", heads, lines)


def _cost(name: str, drains: Sequence[Drain]) -> tuple[str, ...]:
    def per_job(part: str) -> float:
        return statistics.median((drain.processor | drain.database)[part] / drain.jobs for drain in drains)

    return (
        name,
        *(f"{per_job(part) * 1e6:.0f}" for part in ("worker", "PostgreSQL", "Valkey")),
        f"{per_job('commits'):.2f}",
        f"{per_job('log_bytes'):.0f}",
    )


def _waits(findings: Findings) -> ReportTable:
    found = {"idle": findings.idle, f"under {findings.load_rate:.0f} jobs a second": findings.loaded}
    lines = [
        (
            name,
            str(len(waits)),
            *(f"{1000 * percentile(waits, percent):.1f}" for percent in (50, 90, 99, 100)),
        )
        for name, waits in found.items()
    ]
    heads = ("milliseconds", "jobs", "p50", "p90", "p99", "longest")
    return ReportTable("Latency from accepting a job to its start", heads, lines)


def _memory(findings: Findings) -> ReportTable:
    def told(sizes: Sequence[float]) -> str:
        return " ".join(f"{size:.0f}" for size in sizes)

    line = (
        "resident MiB of each child",
        told(findings.memory_before),
        told(findings.memory_after),
        f"{findings.growth():+.0f} %",
    )
    return ReportTable("Memory of the worker", ("", "after the start", "after the jobs", "growth"), [line])


def _origin() -> str:
    commit = subprocess.run(  # a checkout without git has no commit to name
        ["git", "describe", "--always", "--dirty"],  # noqa: S607  # the one of this machine
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    day = datetime.now(UTC).date().isoformat()
    return (
        f"Written by `make bench-jobs` on {day}, commit {commit or 'unknown'}, on {os.cpu_count()} cores,"
        f" Python {platform.python_version()}. Absolute figures depend on the machine; ratios do less."
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
