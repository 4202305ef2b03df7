"""Hints on a real broker: no more than are of use, and none while it is away."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from domains.jobs.gateway.hints import ROOM_AT_A_TIME, RedisHints
from shared.ids import new_id
from tests.domains.jobs.seeing import claim, look, run_sql

WINDOW = 20
SOME_AHEAD = ROOM_AT_A_TIME


@pytest.fixture
async def hints(servers) -> AsyncIterator[RedisHints]:
    sender = RedisHints(servers.environment["REDIS_URL"], window=WINDOW)
    yield sender
    await sender.stop()


async def settled(hints: RedisHints, queue: str) -> int:
    """Return how many hints wait, once no more come."""
    before, now = -1, 0
    while before != now:
        await asyncio.sleep(0.2)
        before, now = now, await asyncio.to_thread(hints.waiting, queue)
    return now


async def test_hints_that_wait_are_bounded(hints: RedisHints) -> None:
    queue = f"tests-{new_id()}"
    for _ in range(200):
        hints.send_soon(queue, new_id())
    assert WINDOW <= await settled(hints, queue) <= WINDOW + SOME_AHEAD


def test_who_sends_hints_needs_no_celery() -> None:
    """Its modules are seven megabytes of every API process."""
    loaded = "import sys, bootstrap.api.app, bootstrap.relay; "
    program = loaded + "sys.exit('celery' in sys.modules or 'kombu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


async def test_a_broker_that_is_away_is_not_asked_for_every_hint() -> None:
    hints = RedisHints("redis://127.0.0.1:9/0")
    with capture_logs() as logs:
        for _ in range(50):
            hints.send_soon("tests", new_id())
        until = time.monotonic() + 10
        while hints._waiting and time.monotonic() < until:
            await asyncio.sleep(0.05)
    await hints.stop()
    assert len([line for line in logs if line["event"] == "hint_not_sent"]) < 5


async def test_a_hint_to_a_job_that_is_done_serves_another_of_its_queue(enqueue, composition, runner) -> None:
    await run_sql(
        composition, "UPDATE jobs.jobs SET state = 'cancelled', finished_at = now() WHERE state = 'queued'"
    )
    first, second = await enqueue(), await enqueue()
    await runner.run(await claim(runner, first))
    assert await runner.drain("tests") == 1
    assert (await look(composition, second)).status == "succeeded"
