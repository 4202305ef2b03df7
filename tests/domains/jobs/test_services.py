"""Ends of jobs without a database: the runner on leases in memory."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from domains.jobs.models import AttemptOutcome, JobState
from domains.jobs.schemas import ClaimedJob, SuccessionRow
from domains.jobs.service.runner import JobRunner
from domains.jobs.settings import JobsSettings
from shared.clock import Clock
from shared.errors import DatabaseUnavailable, NotFound
from shared.ids import new_id
from shared.jobs import JobContext, JobRegistry, JobType, Outbox, PermanentError

MEETING = asyncio.Barrier(3)


class Order(BaseModel):
    what: str


class Gone(NotFound):
    """A fact that no further attempt changes."""

    code = "test.gone"
    detail = "It is gone."


OBEY = JobType("test.obey", Order, max_attempts=3)


@OBEY.handler
async def obey(payload: Order, context: JobContext) -> None:
    if payload.what == "crash":
        raise RuntimeError
    if payload.what == "give up":
        raise PermanentError("There is no use.")
    if payload.what == "miss":
        raise Gone
    if payload.what == "meet":
        await MEETING.wait()
    if payload.what == "take a while":
        await asyncio.sleep(0.02)


class Leases:
    def __init__(self, waiting, *, away=()):
        self.waiting, self.ended, self.postponed = waiting, [], []
        self.claims, self.away = 0, away

    async def claim(self, queue, *, alone=True, kinds=None, **_more):
        self.claims += 1
        if self.claims in self.away:
            raise DatabaseUnavailable
        fitting = [
            job for job in self.waiting if (kinds is None or job.kind in kinds) and (alone or not job.crashes)
        ]
        if not fitting:
            return None
        self.waiting.remove(fitting[0])
        return fitting[0]

    async def finish(self, job_id, token, outcome, *, progress, result=None, error=None):
        self.ended.append((outcome, (error or {}).get("code")))
        return True

    async def finish_and_claim(self, job_id, token, *, queue, **_more):
        self.ended.append((JobState.SUCCEEDED, None))
        following = await self.claim(queue)
        return SuccessionRow(finished_id=job_id, claimed=following)

    async def postpone(self, job_id, token, *, delay, outcome, error):
        self.postponed.append(outcome)
        return True


def claimed(what, *, attempt=1, kind="test.obey", version=1, crashes=0):
    return ClaimedJob(
        id=new_id(),
        kind=kind,
        payload={"what": what},
        payload_version=version,
        attempt=attempt,
        max_attempts=3,
        crashes=crashes,
        lease_token=new_id(),
        owner_id=None,
        resource_type=None,
        resource_id=None,
        request_id=None,
        traceparent=None,
        created_at=datetime.now(UTC),
    )


@asynccontextmanager
async def transaction(*, separate=False):
    yield


def runner_of(leases):
    registry = JobRegistry()
    registry.add([obey])
    return JobRunner(
        leases=leases,
        registry=registry,
        transaction=transaction,
        outbox=Outbox(registry, None),
        settings=JobsSettings(),
        clock=Clock(),
        provide=lambda path, type_: None,
        worker_id="here",
    )


@pytest.mark.parametrize(
    ("waiting", "ended", "postponed"),
    [
        ([claimed("work")], [(JobState.SUCCEEDED, None)], []),
        ([claimed("work"), claimed("work")], [(JobState.SUCCEEDED, None)] * 2, []),
        ([claimed("crash")], [], [AttemptOutcome.FAILED]),
        ([claimed("crash", attempt=3)], [(JobState.FAILED, "jobs.failed")], []),
        ([claimed("give up")], [(JobState.FAILED, "jobs.failed")], []),
        ([claimed("miss")], [(JobState.FAILED, "test.gone")], []),
        ([claimed(None)], [(JobState.FAILED, "jobs.bad_payload")], []),
        ([claimed("work", kind="test.unknown")], [], [AttemptOutcome.SNOOZED]),
        ([claimed("work", version=2)], [], [AttemptOutcome.SNOOZED]),
    ],
)
async def test_every_way_of_ending(waiting, ended, postponed):
    leases = Leases(list(waiting))
    assert await runner_of(leases).run_worker_loop("default") == len(waiting)
    assert (leases.ended, leases.postponed) == (ended, postponed)


async def test_a_runner_of_some_kinds_leaves_the_others():
    leases = Leases([claimed("work", kind="test.another"), claimed("work"), claimed("work")])
    runner = runner_of(leases)
    runner.kinds = {"test.obey"}
    assert await runner.run_worker_loop("default") == 2
    assert [job.kind for job in leases.waiting] == ["test.another"]


@pytest.mark.parametrize(("number", "done"), [(2, 1), (1, 0)])
async def test_a_runner_that_is_paused_ends_its_job_and_begins_no_other(number: int, done: int):
    leases = Leases([claimed("work") for _ in range(number)])
    runner = runner_of(leases)
    runner.is_paused = lambda: len(leases.waiting) < 2
    assert await runner.run_worker_loop("default") == done
    assert (len(leases.ended), len(leases.waiting)) == (done, 1)


async def test_jobs_of_a_queue_with_slots_run_at_a_time_and_the_others_follow():
    leases = Leases([claimed("meet") for _ in range(6)] + [claimed("work")])
    runner = runner_of(leases)
    runner.slots = {"default": 3}
    async with asyncio.timeout(5):
        assert await runner.run_worker_loop("default") == 7
    assert leases.ended == [(JobState.SUCCEEDED, None)] * 7


@pytest.mark.parametrize("suspects", [set(), {0}, {0, 1}, {3}, {5}, {0, 2, 4}, {1, 2, 3}, set(range(6))])
async def test_a_job_whose_process_died_runs_alone(suspects):
    jobs = [claimed("take a while", crashes=int(number in suspects)) for number in range(6)]
    leases = Leases(list(jobs))
    runner = runner_of(leases)
    runner.slots = {"default": 3}
    under_way, beside, run = set(), {}, runner.run

    async def noted(job, **more):
        under_way.add(job.id)
        for each in under_way:
            beside[each] = beside.get(each, set()) | under_way
        following = await run(job, **more)
        under_way.remove(job.id)
        return following

    runner.run = noted
    async with asyncio.timeout(5):
        assert await runner.run_worker_loop("default") == 6
    assert leases.waiting == []
    assert all(beside[job.id] == {job.id} for job in jobs if job.crashes)
    assert suspects or any(len(others) > 1 for others in beside.values())


async def test_a_queue_without_slots_runs_one_job_at_a_time():
    leases = Leases([claimed("meet") for _ in range(3)])
    runner = runner_of(leases)
    runner.slots = {"another": 3}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await runner.run_worker_loop("default")
    assert len(leases.waiting) == 2


async def test_an_empty_queue_is_not_polled_by_slots_that_nothing_opened():
    leases = Leases([claimed("work")])
    runner = runner_of(leases)
    runner.slots = {"default": 8}
    assert await runner.run_worker_loop("default") == 1
    # The job of the wake-up; beside it; after it.
    assert leases.claims == 3


async def test_a_slot_that_finds_the_database_away_cuts_off_no_other():
    leases = Leases([claimed("meet") for _ in range(3)], away={4})
    runner = runner_of(leases)
    runner.slots = {"default": 4}
    with pytest.raises(DatabaseUnavailable):
        await runner.run_worker_loop("default")
    assert leases.ended == [(JobState.SUCCEEDED, None)] * 3
    assert leases.postponed == []
