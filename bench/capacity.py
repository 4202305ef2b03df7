"""How far it carries: what one request costs API and database, measured, and what that comes to for many.

python -m bench.capacity --measure    measures (a minute), writes bench/capacity.json and docs/scaling.md
python -m bench.capacity              writes docs/scaling.md from bench/capacity.json
"""

import argparse
import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from bench.scaling_page import measured_part, with_measured_part

if TYPE_CHECKING:
    from bench.load import Plan
    from bench.seed import People

PROJECT = Path(__file__).parents[1]
DATA = PROJECT / "bench" / "capacity.json"
PAGE = PROJECT / "docs" / "scaling.md"
RATES = (100, 1_000, 10_000, 100_000, 1_000_000)
LOAD = 0.6
"""How busy a core may be: above it, waits grow faster than work."""

POOL = 2 * 16
"""Connections of one API process, as TULOU_DATABASE_POOL is by default."""

CONNECTIONS = 200
"""`max_connections` of docker-compose.yml."""

LARGEST_PRIMARY = 64
"""Cores of the largest machine that one would buy for a database."""

MIX = {"GET me": 0.70, "list of 20": 0.25, "create": 0.05}


@dataclass(frozen=True)
class Cost:
    """Microseconds of processor time for one answer."""

    operation: str
    api: float
    database: float


@dataclass(frozen=True)
class Measured:
    """What was measured, and on what."""

    machine: str
    costs: list[Cost]

    def mixed(self, part: str) -> float:
        """Return the microseconds of one request of the mix."""
        return sum(MIX[cost.operation] * float(getattr(cost, part)) for cost in self.costs)


@dataclass(frozen=True)
class Need:
    """What a rate needs."""

    rate: int
    processes: int
    connections: int
    database_cores: int
    breaks: str
    remedy: str


def needs(measured: Measured) -> Iterator[Need]:
    """Yield what each rate needs, and what would break first."""
    for rate in RATES:
        api = rate * measured.mixed("api") / 1e6 / LOAD
        processes = max(2, math.ceil(api))
        cores = rate * measured.mixed("database") / 1e6 / LOAD
        breaks, remedy = _first_limit(api, processes, cores)
        yield Need(rate, processes, processes * POOL, max(1, math.ceil(cores)), breaks, remedy)


def _first_limit(api: float, processes: int, cores: float) -> tuple[str, str]:
    if cores > LARGEST_PRIMARY:
        installations = math.ceil(cores / LARGEST_PRIMARY)
        remedy = "people divided among them before the API; nothing here does that for you"
        return f"one primary: {cores:.0f} cores", f"{installations} installations, {remedy}"
    if processes * POOL > CONNECTIONS:
        return (
            f"`max_connections` ({CONNECTIONS}), from {CONNECTIONS // POOL + 1} API processes on",
            f"PgBouncer in transaction mode before a PostgreSQL with {math.ceil(cores)} cores",
        )
    if api > 1:
        return "one API process: it uses one core", f"{processes} API processes behind a proxy"
    return "nothing: two processes are for the loss of one", "the compose file as it is"


async def measure() -> Measured:
    """Let clients ask, and see what API and database spend on it."""
    # Only measuring needs the whole program.
    from bench.__main__ import LIMITS  # noqa: PLC0415  # as above
    from bench.figures import _machine  # noqa: PLC0415  # as above
    from bench.rounds import measure as load  # noqa: PLC0415  # as above
    from bench.workplace import workplace  # noqa: PLC0415  # as above

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
    from bench.load import Plan  # noqa: PLC0415  # as above
    from bench.requests import _NOTE  # noqa: PLC0415  # as above
    from bench.rounds import request  # noqa: PLC0415  # as above
    from bench.seed import COLLECTOR  # noqa: PLC0415  # as above

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
    arguments = argparse.ArgumentParser(prog="bench.capacity", description=__doc__)
    arguments.add_argument("--measure", action="store_true", help="measure anew")
    if arguments.parse_args().measure:
        DATA.write_text(json.dumps(asdict(asyncio.run(measure())), indent=1) + "\n")
    measured = read()
    PAGE.write_text(with_measured_part(PAGE.read_text(), part_of(measured)))


if __name__ == "__main__":
    main()
