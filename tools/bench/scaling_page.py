"""The part of docs/scaling.md that is measured and computed; the rest of the page is written by people."""

from collections.abc import Iterator, Mapping, Sequence

from tools.bench.needs import Measured, Need

BEGIN = "<!-- measured: from here on written by `python -m tools.bench.capacity` -->\n"
END = "<!-- end of what is measured -->\n"
_COST_HEADS = ("operation", "API", "PostgreSQL", "share of the mix")
_NEED_HEADS = (
    "requests a second",
    "API processes",
    "connections",
    "cores of PostgreSQL",
    "what breaks first",
    "what to do",
)


def with_measured_part(page: str, part: str) -> str:
    """Return the page with its measured part put in the place of an older one."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + part + END + after


def measured_part(measured: Measured, needs: Sequence[Need], *, mix: Mapping[str, float]) -> str:
    """Return the part in Markdown."""
    return "\n".join(_lines(measured, needs, mix)) + "\n"


def _lines(measured: Measured, needs: Sequence[Need], mix: Mapping[str, float]) -> Iterator[str]:
    yield "The costs come from a run, the rest of each line is computed from them."
    yield ""
    yield f"{measured.machine} One request costs, in microseconds of processor time:"
    yield ""
    shares = [
        (cost.operation, f"{cost.api:.0f}", f"{cost.database:.0f}", f"{100 * mix[cost.operation]:.0f} %")
        for cost in measured.costs
    ]
    yield from _table(_COST_HEADS, shares)
    yield ""
    yield f"So one request of the mix takes {measured.mixed('api'):.0f} us of an API process and"
    yield f"{measured.mixed('database'):.0f} us of PostgreSQL. Cores are planned to be busy for 60 % of the time."
    yield "Uploads, downloads, logins and jobs come on top."
    yield ""
    rows = [
        (
            f"{need.rate:,}",
            f"{need.processes:,}",
            f"{need.connections:,}",
            f"{need.database_cores:,}",
            need.breaks,
            need.remedy,
        )
        for need in needs
    ]
    yield from _table(_NEED_HEADS, rows)
    yield ""
    yield "Divide the processes by your machines' cores for the number of machines. Measured on loopback:"
    yield "a network adds waiting, not work. The largest rates are computed, not measured."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"
