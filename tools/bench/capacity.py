"""How far it carries: what one request costs API and database, measured, and what that comes to for many.

python -m tools.bench.capacity --measure    measures (a minute), writes tools/bench/capacity.json and docs/scaling.md
python -m tools.bench.capacity              writes docs/scaling.md from tools/bench/capacity.json
"""

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from tools.bench.needs import MIX, Cost, Measured, needs
from tools.bench.scaling_page import measured_part, with_measured_part

if TYPE_CHECKING:
    from tools.bench.load import Plan
    from tools.bench.seed import People

PROJECT = Path(__file__).parents[2]
DATA = PROJECT / "tools" / "bench" / "capacity.json"
PAGE = PROJECT / "docs" / "scaling.md"


async def measure() -> Measured:
    """Let clients ask, and see what API and database spend on it."""
    # Only measuring needs the whole program.
    from tools.bench.__main__ import LIMITS  # noqa: PLC0415  # as above
    from tools.bench.figures import _machine  # noqa: PLC0415  # as above
    from tools.bench.rounds import measure as load  # noqa: PLC0415  # as above
    from tools.bench.workplace import workplace  # noqa: PLC0415  # as above

    costs = []
    async with workplace(LIMITS) as place:
        server = place.server("Tulou")
        for operation, plan, status in _plans(place.people):
            await load(server, replace(plan, seconds=1.0), status)
            before = _processor_time(str(place.folder))
            found = await load(server, plan, status)
            spent = _processor_time(str(place.folder)) - before
            costs.append(Cost(operation, round(found.cost, 1), round(1e6 * spent / found.seen.answers, 1)))
    return Measured(_machine(), costs)


def _plans(people: "People") -> "Iterator[tuple[str, Plan, int]]":
    from tools.bench.load import Plan  # noqa: PLC0415  # as above
    from tools.bench.requests import _NOTE  # noqa: PLC0415  # as above
    from tools.bench.rounds import request  # noqa: PLC0415  # as above
    from tools.bench.seed import COLLECTOR  # noqa: PLC0415  # as above

    tokens = people.tokens
    yield "GET me", Plan(0, [request("GET", "/v1/users/me", token=token) for token in tokens]), 200
    yield "list of 20", Plan(0, [request("GET", "/v1/files", token=tokens[COLLECTOR])]), 200
    yield "create", Plan(0, [request("POST", "/v1/notes", token=token, body=_NOTE) for token in tokens]), 201


def _processor_time(folder: str) -> float:
    """Return the seconds that PostgreSQL's processes have worked."""
    total = 0.0
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and folder in " ".join(process.info["cmdline"] or []):
            for each in [process, *process.children(recursive=True)]:
                times = each.cpu_times()
                total += times.user + times.system
    return total


def part_of(measured: Measured) -> str:
    """Return the part of the page that these measurements come to."""
    return measured_part(measured, list(needs(measured)), mix=MIX)


def read() -> Measured:
    """Return what was measured last."""
    found = json.loads(DATA.read_text())
    return Measured(found["machine"], [Cost(**cost) for cost in found["costs"]])


def main() -> None:
    """Measure if asked to; write the page."""
    arguments = argparse.ArgumentParser(prog="tools.bench.capacity", description=__doc__)
    arguments.add_argument("--measure", action="store_true", help="measure anew")
    if arguments.parse_args().measure:
        DATA.write_text(json.dumps(asdict(asyncio.run(measure())), indent=1) + "\n")
    measured = read()
    PAGE.write_text(with_measured_part(PAGE.read_text(), part_of(measured)))


if __name__ == "__main__":
    main()
