"""A worker replaces its child processes as often as the settings say, and they end with it."""

import asyncio
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from domains.jobs.gateway.wake_ups import RedisWakeUps
from shared.ids import new_id
from tests.programs import Program

LEAST = 64 << 20
"""Less memory than any child begins with."""

PAUSES_OF_CELERY = 1.5
TRIES = 3
"""Whoever else is busy on this machine takes part."""


@pytest.fixture
def broker(servers) -> str:
    """A part of Redis that no other worker listens to."""
    return f"{servers.environment['REDIS_URL'].rsplit('/', 1)[0]}/9"


@pytest.fixture
async def wake_ups(broker: str) -> AsyncIterator[RedisWakeUps]:
    sender = RedisWakeUps(broker)
    yield sender
    await sender.stop()


def start(programs, broker: str, **environment: str) -> Program:
    worker: Program = programs(
        "worker", "--queue", "hinted", REDIS_URL=broker, TULOU_WORKER_CONCURRENCY="1", **environment
    )
    worker.wait_for("ready.")
    return worker


def child_of(worker: Program) -> int | None:
    children = [child.pid for child in psutil.Process(worker.process.pid).children()]
    return children[0] if len(children) == 1 else None


async def is_replaced_by(worker: Program, wake_ups: RedisWakeUps, number: int, *, seconds: float) -> bool:
    """Send so many wake-ups, and tell whether the child is another one then."""
    before = child_of(worker)
    assert before is not None
    for _ in range(number):
        await asyncio.to_thread(wake_ups.send, "hinted", [new_id()])
    try:
        async with asyncio.timeout(seconds):
            while child_of(worker) in {before, None}:
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True


async def test_a_child_is_replaced_after_so_many_wake_ups(
    programs, wake_ups: RedisWakeUps, broker: str
) -> None:
    worker = start(programs, broker, TULOU_JOBS_CHILD_HINTS="3")
    assert not await is_replaced_by(worker, wake_ups, 2, seconds=3)
    assert await is_replaced_by(worker, wake_ups, 1, seconds=20)
    assert worker.stop() == 0, worker.output


async def test_a_child_that_holds_too_much_memory_is_replaced(
    programs, wake_ups: RedisWakeUps, broker: str
) -> None:
    worker = start(programs, broker, TULOU_JOBS_CHILD_MEMORY_BYTES=str(LEAST))
    assert await is_replaced_by(worker, wake_ups, 1, seconds=20)
    assert worker.stop() == 0, worker.output


async def test_a_child_stays_where_the_settings_let_it(programs, wake_ups: RedisWakeUps, broker: str) -> None:
    worker = start(programs, broker)
    assert not await is_replaced_by(worker, wake_ups, 4, seconds=3)
    assert worker.stop() == 0, worker.output


async def test_an_idle_worker_ends_sooner_than_its_children_would_by_themselves(
    programs, broker: str
) -> None:
    """Left alone, Celery waits half a second for tasks to take back, and a child one more to be read."""
    took = []
    while not took or (took[-1] >= PAUSES_OF_CELERY and len(took) < TRIES):
        worker = start(programs, broker)
        begun = time.monotonic()
        assert worker.stop() == 0, worker.output
        took.append(time.monotonic() - begun)
    assert min(took) < PAUSES_OF_CELERY, took
