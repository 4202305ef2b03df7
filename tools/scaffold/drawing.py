"""The domain map in a terminal and as the page docs/map.md."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import StrictUndefined, Template
from rich.console import Console
from rich.table import Column, Table

from tools.scaffold.domain_map import Summary

PAGE = Path(__file__).parents[2] / "docs" / "map.md"
_PAGE: Template = Template(
    (Path(__file__).parent / "templates/map.md.j2").read_text(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_LABELS = 11
"""Columns of a terminal."""


def print_summaries(summaries: Sequence[Summary]) -> None:
    """Print a few lines for each domain, highest rank first: a domain may use those below it."""
    for summary in reversed(summaries):
        _print_facts(
            summary,
            {
                "has": f"{_extent(summary)}, {summary.lines:,} lines",
                "offers": ", ".join(summary.public_api.protocols),
                "needs": "; ".join(_lines_by_domain(summary.dependencies)),
                "publishes": ", ".join(summary.public_api.events),
                "reacts to": "; ".join(_lines_by_domain(summary.reacts_to)),
            },
        )
    Console(highlight=False).print(
        "A domain may use those below it. `tulou domains NAME` describes one in full."
    )


def print_summary(summary: Summary) -> None:
    """Print all about one domain."""
    protocols = [f"{name}: {', '.join(methods)}" for name, methods in summary.public_api.protocols.items()]
    _print_facts(
        summary,
        {
            "has": f"{_extent(summary)}, {summary.lines:,} lines",
            "offers": "\n".join(protocols),
            "needs": "\n".join(_lines_by_domain(summary.dependencies)),
            "publishes": "\n".join(summary.public_api.events),
            "reacts to": "\n".join(_lines_by_domain(summary.reacts_to)),
            "tables": "\n".join(f"{summary.name}.{table}" for table in summary.tables),
            "jobs": "\n".join(summary.jobs),
            "routes": "\n".join(summary.routes),
        },
    )


def _print_facts(summary: Summary, facts: dict[str, str]) -> None:
    """Print a domain's name and purpose, and below them its details; empty ones are left out."""
    table = Table.grid(Column(width=_LABELS, no_wrap=True), Column(), padding=(0, 1))
    for label, text in facts.items():
        if text:
            table.add_row(f"  {label}", text)
    console = Console(highlight=False)
    console.print(f"[bold]{summary.name}[/bold]: {summary.purpose}")
    console.print(table)
    console.print()


def mermaid(summaries: Sequence[Summary]) -> str:
    """Return a flow chart: a solid arrow is a call through a Protocol, a dotted one an event."""
    lines = ["flowchart BT"]
    lines += [f'    {summary.name}["<b>{summary.name}</b><br/>{summary.purpose}"]' for summary in summaries]
    for summary in summaries:
        lines += [
            f"    {summary.name} -- {', '.join(what)} --> {other}"
            for other, what in summary.dependencies.items()
        ]
        lines += [
            f"    {other} -. {', '.join(what)} .-> {summary.name}"
            for other, what in summary.reacts_to.items()
        ]
    return "\n".join(lines) + "\n"


def page(summaries: Sequence[Summary]) -> str:
    """Return docs/map.md. Line counts are rounded, so that not every commit changes the page."""
    return _PAGE.render(
        summaries=list(reversed(summaries)),
        mermaid=mermaid(summaries),
        lines_by_domain=_lines_by_domain,
        size=_size,
    )


def write_map(summaries: Sequence[Summary]) -> None:
    """Write docs/map.md."""
    PAGE.write_text(page(summaries))


def _size(lines: int) -> str:
    return next((f"under {step}" for step in (500, 1000, 2000, 5000, 10_000) if lines < step), "over 10000")


def _extent(summary: Summary) -> str:
    """Return the size of a domain: `20 routes, 1 job, no tables`."""
    parts = {"route": summary.routes, "job": summary.jobs, "table": summary.tables}
    return ", ".join(
        f"{len(found) or 'no'} {word}{'' if len(found) == 1 else 's'}" for word, found in parts.items()
    )


def _lines_by_domain(by_domain: dict[str, list[str]]) -> list[str]:
    return [f"{domain}: {', '.join(names)}" for domain, names in by_domain.items()]
