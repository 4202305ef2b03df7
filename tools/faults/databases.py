"""PostgreSQL: stopped at once, away for a while, cut off in the middle of a commit."""

import asyncio
import time
from collections import Counter
from typing import Any
from uuid import UUID

import httpx

from tools.faults.client import Client, percentile
from tools.faults.deaths import PACE, short_work
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, drain, judge, outcomes
from tools.faults.proxy import Cut, Proxy
from tools.faults.register import fault


@fault(
    9,
    "PostgreSQL stopped immediately and started, 3 times",
    expected="all accepted rows exist; errors are 503 with Retry-After; no process ended",
)
async def postgres_crashes(harness: Harness) -> Row:
    row, crashes = Row(), 3
    seconds = harness.seconds(60, least=15)
    async with harness.system() as system, Client(system) as client:
        family = _family(system)
        load = asyncio.create_task(
            client.load(int(PACE * seconds), per_second=PACE, order=lambda _: short_work(harness))
        )
        for _ in range(crashes):
            await asyncio.sleep(seconds / (crashes + 1) - 1)
            await harness.postgres.stop_immediately()
            await asyncio.sleep(1)
            await harness.postgres.start()
        await load
        await judge(harness, row, client.accepted)
        _no_process_died(row, system, family)
    _polite(row, client)
    return row


def _no_process_died(row: Row, system: System, family: set[int]) -> None:
    """Expect that every process is still there. A worker replaces a child now and then: that one has not died."""
    gone = family - _family(system)
    died = sum(child.output.count("exited with") for child in system.children)
    ended = sum(child.code is not None for child in system.children)
    row.expect(
        not died and not ended,
        f"{len(family)} processes, {died + ended} died, {len(gone) - ended} had served their limit of jobs",
    )


def _family(system: System) -> set[int]:
    return {process.pid for child in system.children for process in child.family()} | {
        child.pid for child in system.children if child.code is None
    }


def _polite(row: Row, client: Client) -> None:
    answers = dict(client.answers)
    row.expect(
        not client.faulty and not client.interrupted,
        f"responses {answers}, interrupted {client.interrupted} {client.faulty[:2]}",
    )
    row.note(f"p99 of POST {percentile(client.waits, 99) * 1000:.0f} ms")


@fault(
    10, "PostgreSQL down for 60 s", expected="ready 503, live 200, working again within 5 s without a restart"
)
async def postgres_is_away(harness: Harness) -> Row:
    row = Row()
    down = harness.seconds(60, least=8)
    count = harness.count(400, least=100)
    async with harness.system() as system, Client(system) as client:
        family = _family(system)
        await client.load(count, per_second=PACE, order=lambda _: short_work(harness))
        await harness.postgres.stop_immediately()
        until, ready, live, slowest = time.monotonic() + down, set(), set(), 0.0
        while time.monotonic() < until:
            began = time.monotonic()
            live.add((await client.http.get("/health/live")).status_code)
            slowest = max(slowest, time.monotonic() - began)
            ready.add((await client.http.get("/health/ready")).status_code)
            await client.post()
            await asyncio.sleep(0.2)
        await harness.postgres.start()
        back_at = time.monotonic()
        healthy = await _until_well(client, limit=30)
        job_id = await client.post()
        found = await harness.until_value(
            f"SELECT count(*) FROM faults.effects WHERE job_id = '{job_id}'", 1, seconds=30
        )
        effect_at = time.monotonic() - back_at
        await judge(harness, row, client.accepted)
        _no_process_died(row, system, family)
    row.expect(
        (ready, live) == ({503}, {200}), f"ready {ready}, live {live} in {slowest * 1000:.0f} ms at most"
    )
    row.expect(healthy < 5, f"ready {healthy:.1f} s after its return")
    row.expect(found and effect_at < 10, f"a job done {effect_at:.1f} s after its return")
    _polite(row, client)
    return row


async def _until_well(client: Client, *, limit: float) -> float:
    began = time.monotonic()
    while time.monotonic() - began < limit:
        if (await client.http.get("/health/ready")).status_code == httpx.codes.OK:
            break
        await asyncio.sleep(0.05)
    return time.monotonic() - began


@fault(11, "The connection breaks inside the finishing COMMIT", expected="each finished once")
async def commits_are_cut(harness: Harness) -> Row:
    row = Row()
    count = harness.count(500, least=60)
    proxy = Proxy(harness.environment["DATABASE_URL"])
    await proxy.start()

    def rule(chunk: bytes) -> Cut:
        """Break one commit in six, and one message in a hundred: a job that ends by returning has no COMMIT."""
        if harness.random.random() < (1 / 6 if b"COMMIT;" in chunk else 1 / 100):
            return harness.random.choice([Cut.BEFORE, Cut.AFTER])
        return Cut.NEVER

    def order(number: int) -> dict[str, Any]:
        return {"kind": "faults.separate" if number % 5 == 0 else "faults.effect"}

    try:
        async with harness.system(workers=0) as system, Client(system) as client:
            for _ in range(2):
                system.new_worker(DATABASE_URL=proxy.url)
            await system.until_ready()
            proxy.rule = rule
            await client.load(count, per_second=PACE, order=order)
            separate = await _ids(harness, "faults.separate")
            await judge(harness, row, [job_id for job_id in client.accepted if job_id not in separate])
            await drain(harness, seconds=40, kinds=["faults.separate"])
            fates = Counter(job.state for job in await outcomes(harness, kinds=["faults.separate"]))
    finally:
        await proxy.stop()
    row.expect(fates == {"succeeded": len(separate)}, f"jobs that end by returning: {dict(fates)}")
    cuts = proxy.cuts
    row.expect(min(cuts.values()) > 0, f"cut before {cuts[Cut.BEFORE]} times, after {cuts[Cut.AFTER]} times")
    return row


async def _ids(harness: Harness, kind: str) -> set[UUID]:
    return {record["id"] for record in await harness.fetch("SELECT id FROM jobs.jobs WHERE kind = $1", kind)}
