"""The atlas as a table, as Mermaid, as SVG and as the page docs/map.md."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from rich.console import Console
from rich.table import Column, Table

from bootstrap.scaffold.atlas import Sheet

TEMPLATES = Path(__file__).parent / "templates"
DOCS = Path(__file__).parents[2] / "docs"
ROW = 96
"""Pixels from one domain's box to the next."""


def print_table(sheets: Sequence[Sheet]) -> None:
    """Print one row for each domain, highest rank first: it may ask those below."""
    table = Table(
        Column("domain", no_wrap=True),
        "offers",
        "needs",
        "publishes",
        "reacts to",
        Column("routes", justify="right"),
        Column("jobs", justify="right"),
        Column("tables", justify="right"),
        Column("lines", justify="right"),
        title="Domains",
    )
    for sheet in reversed(sheets):
        table.add_row(
            sheet.name,
            "\n".join(sheet.face.questions),
            "\n".join(_named(sheet.needs)),
            "\n".join(sheet.face.events),
            "\n".join(_named(sheet.reacts_to)),
            str(len(sheet.routes)),
            str(len(sheet.jobs)),
            str(len(sheet.tables)),
            str(sheet.lines),
        )
    Console().print(table)


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
