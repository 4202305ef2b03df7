"""How a job ends, without a database: the runner on leases that only remember."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from domains.jobs.models import AttemptOutcome, JobState
from domains.jobs.schemas import ClaimedJob, SuccessionRow
from domains.jobs.service.runner import JobRunner
from domains.jobs.settings import JobsSettings
from shared.clock import Clock
from shared.errors import NotFound
from shared.ids import new_id
from shared.jobs import JobContext, JobRegistry, PermanentError, job


class Order(BaseModel):
    what: str


class Gone(NotFound):
    """A fact that no further attempt changes."""

    code = "test.gone"
    detail = "It is gone."


@job("test.obey", max_attempts=3)
async def obey(payload: Order, context: JobContext) -> None:
    if payload.what == "crash":
        raise RuntimeError
    if payload.what == "give up":
        raise PermanentError("There is no use.")
    if payload.what == "miss":
        raise Gone


class Leases:
    def __init__(self, waiting):
        self.waiting, self.ended, self.postponed = waiting, [], []

    async def claim(self, *, token, worker, lease, job_id=None, queue="", kinds=None):
        fitting = [job for job in self.waiting if kinds is None or job.kind in kinds]
        if not fitting:
            return None
        self.waiting.remove(fitting[0])
        return fitting[0]

    async def finish(self, job_id, token, outcome, *, progress, result=None, error=None):
        self.ended.append((outcome, (error or {}).get("code")))
        return True

    async def finish_and_claim(self, job_id, token, *, next_token, worker, lease, queue, progress):
        self.ended.append((JobState.SUCCEEDED, None))
        following = await self.claim(token=next_token, worker=worker, lease=lease, queue=queue)
        return SuccessionRow(finished_id=job_id, claimed=following)

    async def postpone(self, job_id, token, *, delay, outcome, error):
        self.postponed.append(outcome)
        return True


def claimed(what, *, attempt=1, kind="test.obey", version=1):
    return ClaimedJob(
        id=new_id(),
        kind=kind,
        payload={"what": what},
        payload_version=version,
        attempt=attempt,
        max_attempts=3,
        lease_token=new_id(),
        owner_id=None,
        request_id=None,
        traceparent=None,
        created_at=datetime.now(UTC),
    )


@asynccontextmanager
async def transaction(*, own=False):
    yield


def runner_of(leases):
    registry = JobRegistry()
    registry.add([obey.__job__])
    return JobRunner(
        leases=leases,
        registry=registry,
        transaction=transaction,
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
    assert await runner_of(leases).follow_hint(new_id(), "default") == len(waiting)
    assert (leases.ended, leases.postponed) == (ended, postponed)


async def test_a_runner_of_some_kinds_leaves_the_others():
    leases = Leases([claimed("work", kind="test.another"), claimed("work"), claimed("work")])
    runner = runner_of(leases)
    runner.kinds = {"test.obey"}
    assert await runner.follow_hint(new_id(), "default") == 2
    assert [job.kind for job in leases.waiting] == ["test.another"]
