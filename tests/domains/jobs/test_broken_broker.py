"""If Redis replies with errors, jobs run by the database alone, one warning a minute is logged, and work recovers."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from domains.jobs.job_types import PRUNE
from shared.jobs import JobOptions, NoPayload
from tests.programs import Program
from tools.dev.valkey import EmbeddedValkey

KEY = "tulou:default"
SETTINGS = {
    "TULOU_JOBS_LOOK_INTERVAL": "1",
    "TULOU_JOBS_RELAY_INTERVAL": "0.1",
    "TULOU_JOBS_HINT_GRACE": "0",
    "TULOU_WORKER_CONCURRENCY": "1",
}
MOST_LINES = 60
"""Of one minute. A loop without a pause would write thousands."""


async def another_type(redis: Redis, work: Callable[[], Awaitable[None]]) -> None:
    await redis.delete(KEY)
    await redis.set(KEY, "no list")
    await work()
    async with asyncio.timeout(20):  # the job may have run without a wake-up
        while await redis.type(KEY) not in {"list", "none"}:
            await asyncio.sleep(0.05)


async def strange_messages(redis: Redis, work: Callable[[], Awaitable[None]]) -> None:
    for _ in range(200):
        await redis.lpush(KEY, "no message", b"\xff\xfe", "[" * 1000, '{"body": "AAAA", "headers": {}}')
    await work()


async def a_replica(redis: Redis, work: Callable[[], Awaitable[None]]) -> None:
    await redis.execute_command("REPLICAOF", "127.0.0.1", "9")
    await work()
    await redis.execute_command("REPLICAOF", "NO", "ONE")


async def no_rights(redis: Redis, work: Callable[[], Awaitable[None]]) -> None:
    await redis.execute_command("ACL", "SETUSER", "tulou", "-lpush", "-brpop", "-llen", "-del")
    await work()
    await redis.execute_command("ACL", "SETUSER", "tulou", "+@all")


async def no_memory(redis: Redis, work: Callable[[], Awaitable[None]]) -> None:
    await redis.config_set("maxmemory", "1")
    await work()
    await redis.config_set("maxmemory", "0")


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """An administrator's connection to a server of its own; the programs come in as the user `tulou`."""
    server = EmbeddedValkey(tmp_path / "valkey")
    await asyncio.to_thread(server.start)
    async with Redis.from_url(server.url, decode_responses=True) as client:
        await client.execute_command("ACL", "SETUSER", "tulou", "on", ">only-here", "~*", "&*", "+@all")
        client.url = server.url.replace(server.url.rpartition("@")[0], "redis://tulou:only-here")
        yield client
    await asyncio.to_thread(server.destroy)


@pytest.fixture
async def system(redis: Redis, programs, app) -> AsyncIterator[list[Program]]:
    environment = SETTINGS | {"REDIS_URL": redis.url}
    started = [programs("worker", "--queue", "default", **environment), programs("relay", **environment)]
    started[0].wait_for("ready.")
    started[1].wait_for("relay_started")
    yield started
    for program in started:
        program.stop()


async def test_jobs_go_on_without_wake_ups(
    redis: Redis, system: list[Program], composition, only_here: None
) -> None:
    async def a_job_runs() -> None:
        async with composition.database().transaction():
            job_id = await composition.jobs.outbox().enqueue(PRUNE, NoPayload(), JobOptions())
        async with asyncio.timeout(20):
            while (await composition.jobs.rows().find(job_id)).status != "succeeded":
                await asyncio.sleep(0.05)

    began = time.monotonic()
    for broken in (another_type, strange_messages, a_replica, no_rights, no_memory):
        await broken(redis, a_job_runs)
        await a_job_runs()
    minutes = 1 + (time.monotonic() - began) // 60
    for program in system:
        assert program.is_running
        lines = [_event(line) for line in program.output.splitlines()]
        warned = Counter(line["event"] for line in lines if line.get("level") in {"warning", "error"})
        assert warned
        assert max(warned.values()) <= minutes, warned
        lines = [line for line in lines if line["event"] != "job_run"]  # jobs of other tests run here too
        assert len(lines) < MOST_LINES * minutes, program.output[-3000:]


def _event(line: str) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        return {"event": line}
    return told
