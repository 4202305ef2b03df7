"""Processes that end at a bad moment, or by a deployment: the API in a POST, the relay while it sends, all in turn."""

import asyncio
import contextlib
import time
from typing import Any

from tools.faults.client import Client
from tools.faults.deaths import PACE, short_work
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, judge
from tools.faults.register import fault

STOP_LIMIT = 40.0
"""Seconds that a supervisor gives a worker before it kills it."""


@fault(
    4,
    "SIGKILL of the API at random points of a POST, the client tries again with its Idempotency-Key",
    expected="jobs = distinct keys accepted",
)
async def the_api_dies(harness: Harness) -> Row:
    row = Row()
    count, kills = harness.count(2000, least=150), 0
    async with (
        harness.system(workers=0, TULOU_IDEMPOTENCY_LEASE="2") as system,
        Client(system) as client,
    ):
        posts = asyncio.create_task(_post_stubbornly(client, count, per_second=60))
        while not posts.done():
            await system.until_api_answers()
            await asyncio.wait([posts], timeout=harness.chance(0.5, 2))
            if not posts.done():
                system.api.kill()
                system.api.start()
                kills += 1
        accepted = set(await posts)
        rows = await harness.value("SELECT count(*) FROM jobs.jobs WHERE kind = 'faults.effect'")
        await system.add_worker()
        await judge(harness, row, accepted)
    row.expect(rows == len(accepted) == count, f"{count} keys, {len(accepted)} ids returned, {rows} rows")
    row.note(
        f"{kills} kills; {client.interrupted} POSTs interrupted or refused; responses {dict(client.answers)},"
        f" {client.replayed} of them replayed"
    )
    return row


async def _post_stubbornly(client: Client, count: int, *, per_second: float) -> list[Any]:
    begun = time.monotonic()

    async def post(number: int) -> Any:
        await asyncio.sleep(max(0.0, begun + number / per_second - time.monotonic()))
        while (job_id := await client.post(idempotency_key=f"key-{number}", lingers=0.005)) is None:
            await asyncio.sleep(0.1)
        return job_id

    return await asyncio.gather(*(post(number) for number in range(count)))


@fault(
    5,
    "SIGKILL of the relay before and after it sends a wake-up that it has marked",
    expected="lost 0, duplicates harmless",
)
async def the_relay_dies(harness: Harness) -> Row:
    row, deaths = Row(), 0
    count = harness.count(500, least=100)
    switches = {"FAULTS_RELAY_DIES": "0.8", "TULOU_JOBS_HINT_WINDOW": "16", "TULOU_JOBS_DRAIN_LIMIT": "1"}
    async with harness.system(relays=0, FAULTS_WAKE_UP="off", **switches) as system, Client(system) as client:
        relay = system.new_relay()
        await relay.until_it_says("relay_started")
        load = asyncio.create_task(client.load(count, per_second=20))
        while not load.done():
            await asyncio.sleep(0.1)
            if relay.code is not None:
                relay.start()
                deaths += 1
        await load
        relay.kill()
        system.new_relay(FAULTS_RELAY_DIES="")
        await judge(harness, row, client.accepted)
    row.expect(deaths, f"the relay was killed {deaths} times")
    return row


@fault(
    16,
    "A deployment (SIGTERM of API, relay and workers) under load, 10 times",
    expected="lost 0, each stop within 40 s, no attempt counted",
)
async def a_deployment(harness: Harness) -> Row:
    row, stops = Row(), []
    settings = {"TULOU_WORKER_SOFT_SHUTDOWN": "3", "TULOU_SHUTDOWN_GRACE": "3"}
    async with harness.system(**settings) as system, Client(system) as client:
        going_on = asyncio.Event()
        load = asyncio.create_task(_load_until(going_on, harness, client))
        for _ in range(harness.count(10, least=2)):
            await asyncio.sleep(harness.chance(1, 3))
            stops += await _deploy(system)
        going_on.set()
        await load
        await judge(harness, row, client.accepted)
        counted = await harness.fetch(
            "SELECT outcome, count(*) FROM jobs.attempts WHERE outcome IN ('failed', 'crashed') GROUP BY outcome"
        )
        given_back = await harness.value("SELECT count(*) FROM jobs.attempts WHERE outcome = 'given_back'")
        tried_again = await harness.value("SELECT count(*) FROM jobs.jobs WHERE attempt > 1 OR crashes > 0")
    row.expect(max(stops) < STOP_LIMIT, f"{len(stops)} stops, {max(stops):.1f} s at most")
    row.expect(
        not counted and not tried_again, f"counted attempts {counted}, jobs past their first {tried_again}"
    )
    row.note(f"{given_back} jobs released")
    return row


async def _load_until(end: asyncio.Event, harness: Harness, client: Client) -> None:
    """Hand in work, some of it longer than a worker may take to stop."""
    number, posts = 0, set()
    while not end.is_set():
        order = {"work": {"seconds": 5}} if number % 100 == 50 else short_work(harness)
        posts.add(asyncio.create_task(client.post(**order)))
        number += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), 1 / PACE)
    await asyncio.gather(*posts)


async def _deploy(system: System) -> list[float]:
    """Replace each process, as an orchestrator does: the new worker comes before the old one goes."""
    old_workers, old_relays = system.workers[:], system.relays[:]
    system.workers.clear()
    system.relays.clear()
    waits = [system.new_relay().until_it_says("relay_started")]
    waits += [system.new_worker().until_it_says("ready.") for _ in old_workers]
    await asyncio.gather(*waits)
    stops = await asyncio.gather(*(child.stop() for child in [*old_workers, *old_relays]))
    stops.append(await system.api.stop())
    system.api.start()
    await system.until_api_answers()
    return list(stops)
