"""Invalid messages on the queue's list in Valkey: writing there allows wake-ups and nothing else."""

import asyncio
import base64
import json
import os
import pickle
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from domains.jobs.gateway.broker import create_celery
from domains.jobs.gateway.wake_ups import TASK
from tools.faults.client import Client
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, judge
from tools.faults.register import fault

PREFIX = "tulou:"
QUEUE = "default"
LIMIT = 5.0
"""Seconds until the worker consumes again."""


class Marker:
    """The effect of a pickle if it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self._path}",)


@fault(
    18,
    "Bad wake-ups: no JSON, wrong envelopes, 10 MB, unknown ids, pickles",
    expected="consuming again within 5 s, no code run",
)
async def rubbish_arrives(harness: Harness) -> Row:
    row, exits, slowest = Row(), 0, 0.0
    marker = harness.folder / "opened"
    kinds = await _rubbish(harness, marker)
    async with harness.system(workers=1) as system, Client(system) as client:
        for number in range(harness.count(50, least=len(kinds))):
            await _push(harness, kinds[number % len(kinds)])
            began = time.monotonic()
            job_id = await client.post()
            asked = f"SELECT count(*) FROM faults.effects WHERE job_id = '{job_id}'"
            consumed = asyncio.create_task(harness.until_value(asked, 1, seconds=20))
            while not consumed.done():
                exits += await _start_again(system)
                await asyncio.sleep(0.05)
            slowest = max(slowest, time.monotonic() - began)
        await judge(harness, row, client.accepted)
    row.expect(
        slowest < LIMIT,
        f"{len(kinds)} kinds of invalid messages; a job after each done within {slowest:.2f} s at most",
    )
    row.expect(not marker.exists(), "no pickle was loaded")
    row.expect(not exits, f"the worker ended {exits} times")
    return row


async def _start_again(system: System) -> int:
    """Do what a supervisor does."""
    (worker,) = system.workers
    if worker.code is None:
        return 0
    worker.start()
    return 1


async def _push(harness: Harness, element: bytes) -> None:
    async with harness.valkey.client() as redis:
        await redis.lpush(f"{PREFIX}{QUEUE}", element)


async def _rubbish(harness: Harness, marker: Path) -> list[bytes]:
    envelope = await _envelope(harness)
    headers = envelope["headers"]
    pickled = base64.b64encode(pickle.dumps(Marker(marker))).decode()

    def changed(**fields: Any) -> bytes:
        return json.dumps(envelope | fields).encode()

    def with_arguments(*arguments: Any) -> bytes:
        return changed(body=base64.b64encode(json.dumps([arguments, {}, {}]).encode()).decode())

    return [
        b"rubbish",
        b"\xff\xfe\x00\x80",
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"body": 1}',
        changed(properties={}),
        changed(properties=None),
        changed(headers={}),
        changed(headers=headers | {"task": "os.system"}),
        changed(headers=headers | {"id": None}),
        changed(body="*** no base64 ***"),
        changed(body=base64.b64encode(b"no json").decode()),
        changed(body=base64.b64encode(b'{"a": 1}').decode()),
        changed(
            **{"content-type": "application/x-python-serialize", "content-encoding": "binary"}, body=pickled
        ),
        changed(**{"content-type": "application/unheard-of"}),
        pickle.dumps(Marker(marker)),
        changed(body="A" * 10_000_000),
        b"x" * 10_000_000,
        with_arguments(),
        with_arguments("no id"),
        with_arguments(17),
        with_arguments(str(uuid4())),
        with_arguments(str(uuid4()), "more"),
        b"[" * 100_000,
        b'{"__type__": "datetime", "__value__": 1}',
        changed(headers=headers | {"eta": "never", "timelimit": "x", "retries": [], "stamps": 1}),
    ]


async def _envelope(harness: Harness) -> dict[str, Any]:
    """Return a well-formed message as Celery writes it."""
    celery = create_celery(harness.valkey.server.url)
    await asyncio.to_thread(celery.send_task, TASK, args=[str(uuid4())], queue="scratch", retry=False)
    async with harness.valkey.client() as redis:
        envelope: dict[str, Any] = json.loads(await redis.rpop(f"{PREFIX}scratch"))
    routing = envelope["properties"]["delivery_info"]
    routing["routing_key"] = QUEUE
    return envelope
