"""Results and their report: one line per target, in the terminal, as Markdown and as JSON."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One result. `rounds` has the value of each round; `value` is their median."""

    operation: str
    what: str
    value: float
    aim: str
    met: bool
    rounds: tuple[float, ...] = ()
    unit: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return a line of the table."""
        spread = f"{_format(min(self.rounds))} to {_format(max(self.rounds))}" if self.rounds else ""
        return (
            self.operation,
            self.what,
            f"{_format(self.value)} {self.unit}".strip(),
            self.aim,
            ("yes" if self.met else "**no**") if self.aim else "",
            spread,
        )


@dataclass
class Figures:
    """All of them; `servers`: operation, server, answers a second, CPU us each, p50 and p99 in ms."""

    results: list[Figure] = field(default_factory=list)
    servers: list[tuple[str, str, float, float, float, float]] = field(default_factory=list)

    def at_least(
        self, operation: str, what: str, values: Sequence[float], aim: float, unit: str = ""
    ) -> None:
        """Add a result with a lower limit."""
        value = _median(values)
        self.results.append(Figure(operation, what, value, f">= {aim:g}", value >= aim, tuple(values), unit))

    def at_most(self, operation: str, what: str, values: Sequence[float], aim: float, unit: str = "") -> None:
        """Add a result with an upper limit."""
        value = _median(values)
        self.results.append(Figure(operation, what, value, f"<= {aim:g}", value <= aim, tuple(values), unit))

    def told(self, operation: str, what: str, values: Sequence[float], unit: str = "") -> None:
        """Add a result without a target."""
        self.results.append(
            Figure(operation, what, _median(values), "", met=True, rounds=tuple(values), unit=unit)
        )


HEADS = ("operation", "what", "measured", "aim", "met", "rounds")
_SERVER_HEADS = ("operation", "server", "answers a second", "CPU us each", "p50 ms", "p99 ms")


def text_of(figures: Figures) -> str:
    """Return all figures for a terminal."""
    lines = [HEADS, *(figure.cells() for figure in figures.results)]
    more = [_SERVER_HEADS, *(_server_cells(line) for line in figures.servers)]
    return f"{_columns(lines)}\n\n{_columns(more)}\n"


def page_of(figures: Figures) -> str:
    """Return the page `docs/performance.md`."""
    return "\n".join(
        [
            "# Performance",
            "",
            "Written by `make bench`. Each round measures every server in turn, so other load affects all of them.",
            "Ratios are medians of the rounds' ratios and are similar on other machines. Absolute figures are",
            "of this machine. A floor is the fastest program that does the same work.",
            "",
            f"{_machine()}",
            "",
            "## Targets and results",
            "",
            *_table(HEADS, [figure.cells() for figure in figures.results]),
            "",
            "The middleware: request ids, trace context, headers, hosts, limits, deadlines, metrics and access log.",
            "",
            "The transport delivers prebuilt bytes on kept connections; `smtplib` builds each message. A durable mail",
            "is also leased, commits three phases before they begin, and writes an attempt and an event:",
            "`smtplib` does none of that, so this row has no aim.",
            "",
            "## Each server",
            "",
            "One process, pinned to one core; load, PostgreSQL and Valkey on the others; 32 connections.",
            "",
            *_table(_SERVER_HEADS, [_server_cells(line) for line in figures.servers]),
            "",
            "## How to run the benchmarks",
            "",
            "    make bench                # all of it, seven minutes; writes this page and tools/bench/figures.json",
            "    make bench ONLY=me,list   # only these, and prints",
            "",
            "Parts: me, list, create, login, transfer, pictures, mail, start. The floors are in `tools/bench/floors/`:",
            "FastAPI on a raw asyncpg pool (same token, same reads, same rows, no RESET between statements), FastAPI",
            "with an SQLModel session for each request, a bare ASGI function, a body streamed to disk without a hash,",
            "Starlette's `FileResponse` and nginx (where the machine has it), bare libvips, and `smtplib` with",
            "`EmailMessage`.",
            "",
        ]
    )


def write(figures: Figures, *, page: Path, data: Path) -> None:
    """Write the page, and the figures for programs."""
    page.write_text(page_of(figures))
    document = {"commit": _commit(), "machine": _machine(), **asdict(figures)}
    data.write_text(json.dumps(document, indent=1) + "\n")


def _machine() -> str:
    day = datetime.now(UTC).date().isoformat()
    made_of = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    load = f"load average {os.getloadavg()[1]:.1f} over the last five minutes"
    return f"{day}, commit {_commit()}, {made_of}, {load}."


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607  # the one of this machine
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def _server_cells(line: tuple[str, str, float, float, float, float]) -> tuple[str, ...]:
    operation, server, rate, cost, p50, p99 = line
    return operation, server, f"{rate:,.0f}", f"{cost:.0f}", f"{p50:.1f}", f"{p99:.1f}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines)]


def _columns(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[number]) for line in lines) for number in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _format(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"  # noqa: PLR2004  # three digits tell enough
