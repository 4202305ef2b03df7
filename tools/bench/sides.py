"""The two sides of the comparison. Each fills its queue while its worker is frozen, then is timed from the thaw on."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import asyncpg
import redis.asyncio as redis
from redis.asyncio import Redis

from bootstrap.container import TulouContainer
from shared.queues import DEFAULT
from tools.bench.bare_worker import QUEUE as BARE_QUEUE
from tools.bench.bare_worker import create_app, read_tallies
from tools.bench.durable_worker import JOBS, TimedPayload
from tools.bench.system import Program, System, cpu_seconds, wait_for_children

BATCH = 100
"""Jobs accepted in one transaction."""

WAKE_UPS = f"tulou:{DEFAULT.name}"
"""The list in Valkey that wake-ups wait in."""

WARM_UP = 40
LOOK_PAUSE = 0.02
SETTLE_PAUSE = 0.5
DRAIN_LIMIT = 300.0
"""Seconds after which a queue that isn't empty is a failure."""

_TRACES = (
    "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS commits,"
    " (pg_current_wal_insert_lsn() - '0/0')::bigint AS log_bytes"
)
"""Exact at once, unlike the counters in pg_stat_*. Only transactions that write have a number."""


@dataclass(frozen=True)
class Drain:
    """How a queue was emptied. Processor seconds by part; what PostgreSQL counted."""

    jobs: int
    seconds: float
    processor: dict[str, float] = field(default_factory=dict)
    database: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds


class Side(Protocol):
    """A job system."""

    worker: Program

    async def fill(self, kind: str, number: int) -> float:
        """Accept jobs; return how many a second were accepted."""
        ...

    async def left(self) -> int:
        """Return how many of them aren't done."""
        ...

    async def ended_at(self) -> float:
        """Return when the last one ended, in seconds since 1970."""
        ...


class Durable:
    """Tulou: accepted through the outbox, in transactions of a hundred; wake-ups go out after each commit."""

    def __init__(self, container: TulouContainer, observer: Any, broker: Redis, worker: Program) -> None:
        self.worker = worker
        self._container = container
        self._observer = observer
        self._broker = broker
        self._ids: list[Any] = []

    async def fill(self, kind: str, number: int) -> float:
        """Accept jobs, and wait until every wake-up has been sent."""
        self._ids = []
        begun = time.monotonic()
        for start in range(0, number, BATCH):
            async with self._container.database().transaction():
                for _ in range(min(BATCH, number - start)):
                    self._ids.append(await self.accept(kind))
        rate = number / (time.monotonic() - begun)
        await self._wake_ups_sent()
        return rate

    async def accept(self, kind: str) -> Any:
        """Write one job in the open transaction."""
        return await self._container.jobs.outbox().enqueue(JOBS[kind], TimedPayload(sent_at=time.time()))

    async def accept_alone(self, kind: str) -> None:
        """Accept one job in a transaction of its own, as a request does."""
        payload = TimedPayload(sent_at=time.time())
        async with self._container.database().transaction():
            self._ids.append(await self._container.jobs.outbox().enqueue(JOBS[kind], payload))

    async def left(self) -> int:
        """Count the jobs that haven't ended; by primary key, and the last ones first, so that asking costs little."""
        last = self._ids[-BATCH:]
        return await self._count(last) or await self._count(self._ids)

    async def ended_at(self) -> float:
        """Ask the rows; all of them must have succeeded."""
        row = await self._observer.fetchrow(
            "SELECT extract(epoch FROM max(finished_at))::float8 AS ended,"
            " count(*) FILTER (WHERE state <> 'succeeded') AS wrong FROM jobs.jobs WHERE id = ANY($1)",
            self._ids,
        )
        if row["wrong"]:
            raise RuntimeError(f"{row['wrong']} jobs did not succeed")
        ended: float = row["ended"]
        return ended

    async def waits(self) -> list[float]:
        """Return the seconds that each job waited, in ascending order."""
        rows = await self._observer.fetch(
            "SELECT (result->>'waited')::float8 AS waited FROM jobs.jobs WHERE id = ANY($1)", self._ids
        )
        return sorted(row["waited"] for row in rows)

    async def drop_wake_ups(self) -> None:
        """Drop the wake-ups that are left: their jobs are done, and the worker is to be idle."""
        await self._broker.delete(WAKE_UPS)

    def forget(self) -> None:
        """Begin anew with the jobs that are asked for."""
        self._ids = []

    async def _count(self, ids: list[Any]) -> int:
        found: int = await self._observer.fetchval(
            "SELECT count(*) FROM jobs.jobs WHERE id = ANY($1) AND finished_at IS NULL", ids
        )
        return found

    async def _wake_ups_sent(self) -> None:
        """Wait until no more wake-ups arrive."""
        before, now = -1, 0
        while before != now:
            await asyncio.sleep(SETTLE_PAUSE)
            before, now = now, int(await self._broker.llen(WAKE_UPS))


class Bare:
    """Celery alone."""

    def __init__(self, system: System, worker: Program) -> None:
        self.worker = worker
        self._folder = system.folder
        self._app = create_app(system.valkey.url)
        self._expected = 0

    async def fill(self, kind: str, number: int) -> float:
        """Publish tasks on one connection."""
        begun = time.monotonic()
        await asyncio.to_thread(self._publish, f"bench.{kind}", number)
        self._expected += number
        return number / (time.monotonic() - begun)

    async def left(self) -> int:
        """Ask the children's tallies."""
        return self._expected - read_tallies(self._folder)[0]

    async def ended_at(self) -> float:
        """Ask the children's tallies."""
        return read_tallies(self._folder)[1]

    def _publish(self, task: str, number: int) -> None:
        with self._app.producer_pool.acquire(block=True) as producer:
            for _ in range(number):
                self._app.send_task(task, queue=BARE_QUEUE, producer=producer)


@dataclass(frozen=True)
class Bench:
    """Both sides, and what is watched while they work."""

    system: System
    durable: Durable
    bare: Bare
    relay: Program
    observer: Any

    async def drain(self, side: Side, kind: str, number: int) -> Drain:
        """Fill a queue and time how it is emptied."""
        side.worker.freeze()
        try:
            await side.fill(kind, number)
            await self.observer.execute("VACUUM (ANALYZE) jobs.jobs")
            processor, traces = self._processor(side), await self._traces()
        finally:
            begun = time.time()
            side.worker.thaw()
        await emptied(side)
        drain = Drain(
            number,
            await side.ended_at() - begun,
            _difference(processor, self._processor(side)),
            _difference(traces, await self._traces()),
        )
        await self.durable.drop_wake_ups()
        return drain

    def _processor(self, side: Side) -> dict[str, float]:
        return {
            "worker": cpu_seconds(side.worker.pid),
            "PostgreSQL": cpu_seconds(self.system.postgres.pid or 0),
            "Valkey": cpu_seconds(self.system.valkey.pid or 0),
            "relay": cpu_seconds(self.relay.pid),
        }

    async def _traces(self) -> dict[str, float]:
        row = await self.observer.fetchrow(_TRACES)
        return {name: float(value or 0) for name, value in row.items()}

    async def warm_up(self) -> None:
        """Let both workers do a few jobs of each kind."""
        for side in (self.durable, self.bare):
            for kind in ("nothing", "row"):
                await side.fill(kind, WARM_UP)
                await emptied(side)


async def emptied(side: Side) -> None:
    """Wait until every job is done; raises RuntimeError when that takes too long."""
    until = time.monotonic() + DRAIN_LIMIT
    while left := await side.left():
        side.worker.require_alive()
        if time.monotonic() > until:
            raise RuntimeError(f"{left} jobs are left after {DRAIN_LIMIT:.0f} s")
        await asyncio.sleep(LOOK_PAUSE)


async def idle_waits(durable: Durable, *, number: int, pause: float) -> list[float]:
    """Return the seconds from accepting to the first line of each of `number` single jobs."""
    return await _waits(durable, number=number, next_pause=lambda: pause)


async def loaded_waits(durable: Durable, *, rate: float, seconds: float) -> list[float]:
    """Return the same for jobs that come at random, `rate` a second."""
    dice = random.Random(1)  # noqa: S311  # the same arrivals in each run
    return await _waits(durable, number=round(rate * seconds), next_pause=lambda: dice.expovariate(rate))


async def _waits(durable: Durable, *, number: int, next_pause: Callable[[], float]) -> list[float]:
    durable.forget()
    due = time.monotonic()
    for _ in range(number):
        await durable.accept_alone("waited")
        due = max(due + next_pause(), time.monotonic() - 1)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await emptied(durable)
    return await durable.waits()


@contextlib.asynccontextmanager
async def both_sides(system: System, container: TulouContainer) -> AsyncIterator[Bench]:
    """Start a worker of each side and the relay."""
    programs: list[Program] = []

    def start(module: str, *arguments: str) -> Program:
        programs.append(Program(module, *arguments, folder=system.folder, environment=system.environment))
        return programs[-1]

    observer = await asyncpg.connect(system.postgres.superuser_url)
    broker = redis.from_url(system.valkey.url)
    try:
        relay = start("bootstrap.cli.main", "relay")
        durable = Durable(container, observer, broker, start("tools.bench.durable_worker"))
        bare = Bare(system, start("tools.bench.bare_worker"))
        for side in (durable, bare):
            wait_for_children(side.worker)
        yield Bench(system, durable, bare, relay, observer)
    finally:
        for program in programs:
            program.stop()
        await broker.aclose()
        await observer.close()


def _difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before}
