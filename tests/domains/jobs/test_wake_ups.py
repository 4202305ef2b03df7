"""Wake-ups on a real broker: a limited number, and none while it is unavailable."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from domains.jobs.gateway.wake_ups import WAKE_UP_BATCH, RedisWakeUps
from shared.ids import new_id
from tests.domains.jobs.seeing import claim, look, run_sql

WINDOW = 20
SOME_AHEAD = WAKE_UP_BATCH


@pytest.fixture
async def wake_ups(servers) -> AsyncIterator[RedisWakeUps]:
    sender = RedisWakeUps(servers.environment["REDIS_URL"], window=WINDOW)
    yield sender
    await sender.stop()


async def stable_count(wake_ups: RedisWakeUps, queue: str) -> int:
    """Return how many wake-ups wait, once no more come."""
    before, now = -1, 0
    while before != now:
        await asyncio.sleep(0.2)
        before, now = now, await asyncio.to_thread(wake_ups.waiting, queue)
    return now


async def test_waiting_wake_ups_are_bounded(wake_ups: RedisWakeUps) -> None:
    queue = f"tests-{new_id()}"
    for _ in range(200):
        wake_ups.send_soon(queue, new_id())
    assert WINDOW <= await stable_count(wake_ups, queue) <= WINDOW + SOME_AHEAD


def test_sending_wake_ups_needs_no_celery() -> None:
    """Its modules are seven megabytes of every API process."""
    loaded = "import sys, bootstrap.api.app, bootstrap.relay; "
    program = loaded + "sys.exit('celery' in sys.modules or 'kombu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


async def test_a_broker_that_is_away_is_not_asked_for_every_wake_up() -> None:
    wake_ups = RedisWakeUps("redis://127.0.0.1:9/0")
    with capture_logs() as logs:
        for _ in range(50):
            wake_ups.send_soon("tests", new_id())
        until = time.monotonic() + 10
        while wake_ups._waiting and time.monotonic() < until:
            await asyncio.sleep(0.05)
    await wake_ups.stop()
    assert len([line for line in logs if line["event"] == "wake_up_not_sent"]) < 5


async def test_a_wake_up_for_a_finished_job_serves_another_of_its_queue(enqueue, composition, runner) -> None:
    await run_sql(
        composition, "UPDATE jobs.jobs SET state = 'cancelled', finished_at = now() WHERE state = 'queued'"
    )
    first, second = await enqueue(), await enqueue()
    await runner.run(await claim(runner, first))
    assert await runner.run_worker_loop("tests") == 1
    assert (await look(composition, second)).status == "succeeded"
