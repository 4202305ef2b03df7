"""The atlas in a terminal, as Mermaid, as SVG and as the page docs/map.md."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from rich.console import Console
from rich.table import Column, Table

from tools.scaffold.atlas import Sheet

TEMPLATES = Path(__file__).parent / "templates"
DOCS = Path(__file__).parents[2] / "docs"
ROW = 96
"""Pixels from one domain's box to the next."""

_LABELS = 11
"""Columns of a terminal."""


def print_sheets(sheets: Sequence[Sheet]) -> None:
    """Print a few lines for each domain, highest rank first: it may ask those below."""
    for sheet in reversed(sheets):
        _print_block(
            sheet,
            {
                "has": f"{_extent(sheet)}, {sheet.lines:,} lines",
                "offers": ", ".join(sheet.face.questions),
                "needs": "; ".join(_named(sheet.needs)),
                "publishes": ", ".join(sheet.face.events),
                "reacts to": "; ".join(_named(sheet.reacts_to)),
            },
        )
    Console(highlight=False).print(
        "A domain may ask those below it. `tulou domains NAME` tells all about one."
    )


def print_sheet(sheet: Sheet) -> None:
    """Print all about one domain."""
    questions = [f"{name}: {', '.join(methods)}" for name, methods in sheet.face.questions.items()]
    _print_block(
        sheet,
        {
            "has": f"{_extent(sheet)}, {sheet.lines:,} lines",
            "offers": "\n".join(questions),
            "needs": "\n".join(_named(sheet.needs)),
            "publishes": "\n".join(sheet.face.events),
            "reacts to": "\n".join(_named(sheet.reacts_to)),
            "tables": "\n".join(f"{sheet.name}.{table}" for table in sheet.tables),
            "jobs": "\n".join(sheet.jobs),
            "routes": "\n".join(sheet.routes),
        },
    )


def _print_block(sheet: Sheet, facts: dict[str, str]) -> None:
    """Print a domain's name and purpose, and below them what there is to tell; the rest is left out."""
    table = Table.grid(Column(width=_LABELS, no_wrap=True), Column(), padding=(0, 1))
    for label, text in facts.items():
        if text:
            table.add_row(f"  {label}", text)
    console = Console(highlight=False)
    console.print(f"[bold]{sheet.name}[/bold]: {sheet.purpose}")
    console.print(table)
    console.print()


def mermaid(sheets: Sequence[Sheet]) -> str:
    """Return a flow chart: a solid arrow asks or tells through a Protocol, a dotted one is an event's way."""
    lines = ["flowchart BT"]
    lines += [f'    {sheet.name}["<b>{sheet.name}</b><br/>{sheet.purpose}"]' for sheet in sheets]
    for sheet in sheets:
        lines += [f"    {sheet.name} -- {', '.join(what)} --> {other}" for other, what in sheet.needs.items()]
        lines += [
            f"    {other} -. {', '.join(what)} .-> {sheet.name}" for other, what in sheet.reacts_to.items()
        ]
    return "\n".join(lines) + "\n"


def svg(sheets: Sequence[Sheet]) -> str:
    """Return a picture: the ranks from the top down, questions on the left, events on the right."""
    place = {sheet.name: number * ROW for number, sheet in enumerate(reversed(sheets))}
    return _template("map.svg.j2").render(
        sheets=sheets,
        place=place,
        height=len(sheets) * ROW,
        asked=list(_arrows([(sheet.name, sheet.needs) for sheet in sheets], place, side=-1)),
        heard=list(_arrows([(sheet.name, sheet.reacts_to) for sheet in sheets], place, side=1)),
        extent=_extent,
    )


def page(sheets: Sequence[Sheet]) -> str:
    """Return docs/map.md. Lines are told roughly, so that the page isn't stale with every commit."""
    return _template("map.md.j2").render(
        sheets=list(reversed(sheets)), mermaid=mermaid(sheets), named=_named, size=_size
    )


def write_map(sheets: Sequence[Sheet]) -> None:
    """Write docs/map.md and its picture."""
    (DOCS / "map.md").write_text(page(sheets))
    (DOCS / "map.svg").write_text(svg(sheets))


def _size(lines: int) -> str:
    return next((f"under {step}" for step in (500, 1000, 2000, 5000, 10_000) if lines < step), "over 10000")


def _extent(sheet: Sheet) -> str:
    """Say how much there is of a domain: `20 routes, 1 job, no tables`."""
    parts = {"route": sheet.routes, "job": sheet.jobs, "table": sheet.tables}
    return ", ".join(
        f"{len(found) or 'no'} {word}{'' if len(found) == 1 else 's'}" for word, found in parts.items()
    )


def _named(by_domain: dict[str, list[str]]) -> list[str]:
    return [f"{domain}: {', '.join(names)}" for domain, names in by_domain.items()]


def _arrows(
    wishes: list[tuple[str, dict[str, list[str]]]], place: dict[str, int], *, side: int
) -> Iterator[tuple[int, int, int, str]]:
    """Yield where an arrow begins, where it ends, how far it swings out, and what it says."""
    for name, others in wishes:
        for other, what in others.items():
            start, end = (name, other) if side < 0 else (other, name)
            distance = abs(place[start] - place[end]) // ROW
            yield place[start], place[end], side * (40 + 44 * distance), ", ".join(what)


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith(".svg.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
