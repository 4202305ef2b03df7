"""Several clients watch jobs concurrently, and none is told that an existing job is gone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domains.jobs.models import JobState
from domains.jobs.schemas import JobRow
from domains.jobs.service import watcher as watching
from domains.jobs.service.watcher import JobWatcher
from shared.ids import new_id

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def a_job(**changes: Any) -> JobRow:
    empty = dict.fromkeys(JobRow.model_fields)
    some: dict[str, Any] = {
        "id": new_id(),
        "kind": "tests.obey",
        "queue": "tests",
        "state": JobState.RUNNING,
        "progress_current": 0,
        "attempt": 1,
        "max_attempts": 3,
        "created_at": NOW,
        "run_at": NOW,
        "revision": 1,
    }
    return JobRow(**(empty | some | changes))


def ended(job: JobRow, state: JobState = JobState.SUCCEEDED) -> JobRow:
    return job.model_copy(update={"state": state, "finished_at": NOW, "revision": job.revision + 1})


class Table:
    """Jobs, and a look at them that takes as long as a test wants: what it saw is what was there at its beginning."""

    def __init__(self, *jobs: JobRow) -> None:
        self.rows = {job.id: job for job in jobs}
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def put(self, job: JobRow) -> None:
        self.rows[job.id] = job

    async def find_many(self, job_ids: list[UUID]) -> list[JobRow]:
        seen = [self.rows[job_id] for job_id in job_ids if job_id in self.rows]
        self.asked.set()
        await self.may_answer.wait()
        return seen

    async def slow_look(self) -> None:
        """Wait until a look has begun that gets no answer for now."""
        self.may_answer.clear()
        self.asked.clear()
        await self.asked.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.01)


async def states(stream: AsyncIterator[JobRow]) -> list[str]:
    async with asyncio.timeout(10):
        return [job.status async for job in stream]


async def test_who_comes_while_a_look_is_under_way_follows_to_the_end() -> None:
    first, second = a_job(), a_job()
    table = Table(first, second)
    watcher = JobWatcher(jobs=table)
    earlier = asyncio.create_task(states(watcher.follow(first)))
    await table.slow_look()
    later = asyncio.create_task(states(watcher.follow(second)))
    await asyncio.sleep(0)
    table.may_answer.set()
    await table.slow_look()  # the first look was answered, and knew nothing of the second job
    table.put(ended(first))
    table.put(ended(second))
    table.may_answer.set()
    assert await earlier == ["running", "succeeded"]
    assert await later == ["running", "succeeded"]
    await watcher.stop()


async def test_an_older_state_that_comes_late_ends_no_stream() -> None:
    failed = ended(a_job(), JobState.FAILED)
    table = Table(failed)
    watcher = JobWatcher(jobs=table)
    slow = watcher.follow(failed)
    assert (await anext(slow)).status == "failed"  # a client that reads no further for now
    await table.slow_look()
    again = failed.model_copy(update={"state": JobState.QUEUED, "finished_at": None, "revision": 3})
    table.put(again)
    following = asyncio.create_task(states(watcher.follow(again)))
    await asyncio.sleep(0)
    table.may_answer.set()
    await table.slow_look()
    table.put(ended(again))
    table.may_answer.set()
    assert await following == ["queued", "succeeded"]
    await slow.aclose()
    await watcher.stop()


async def test_a_job_that_is_gone_ends_its_stream_and_no_other() -> None:
    kept, forgotten = a_job(), a_job()
    table = Table(kept, forgotten)
    watcher = JobWatcher(jobs=table)
    streams = [asyncio.create_task(states(watcher.follow(job))) for job in (kept, forgotten)]
    await table.slow_look()
    table.may_answer.set()
    del table.rows[forgotten.id]
    assert await streams[1] == ["running"]
    table.put(ended(kept))
    assert await streams[0] == ["running", "succeeded"]
    await watcher.stop()


async def test_nobody_is_looked_for_once_all_have_left() -> None:
    job = a_job()
    watcher = JobWatcher(jobs=Table(ended(job)))
    assert await states(watcher.follow(job)) == ["running", "succeeded"]
    await asyncio.sleep(0.1)
    assert watcher._poller is not None
    assert watcher._poller.done()
    assert (watcher._latest, dict(watcher._watched)) == ({}, {})
