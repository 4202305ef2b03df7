"""What a rate of requests needs, computed from what one request costs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

RATES = (100, 1_000, 10_000, 100_000, 1_000_000)
LOAD = 0.6
"""How busy a core may be: above it, waits grow faster than work."""

POOL = 32
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
        remedy = "with the people divided among them before the API, which Tulou does not do"
        return f"one primary: {cores:.0f} cores", f"{installations} installations, {remedy}"
    if processes * POOL > CONNECTIONS:
        return (
            f"`max_connections` ({CONNECTIONS}), from {CONNECTIONS // POOL + 1} API processes on",
            f"PgBouncer in transaction mode before a PostgreSQL with {math.ceil(cores)} cores",
        )
    if api > 1:
        return "one API process: it uses one core", f"{processes} API processes behind a proxy"
    return "nothing: two processes are for the loss of one", "the compose file as it is"
