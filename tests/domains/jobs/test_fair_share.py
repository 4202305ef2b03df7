"""Fair share of owners: however many jobs one owner enqueues, another owner's job is next."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from bootstrap.container import TulouContainer
from domains.jobs.repository.recovery import RecoveryRepository
from domains.jobs.service import fair_claims
from domains.jobs.service.runner import JobRunner
from shared.audit import Actor
from shared.ids import new_id
from shared.jobs import NewJob
from tests.domains.jobs.conftest import a_runner
from tests.domains.jobs.seeing import run_sql

OPERATOR = Actor(operator="tests@here")


class Queue:
    """A queue of a test's own."""

    def __init__(self, composition: TulouContainer) -> None:
        self.name = f"fair-share-{new_id()}"
        self.composition = composition
        self.store = composition.jobs.store()

    async def accept(self, owner: UUID | None, number: int = 1, **more: Any) -> list[UUID]:
        """Accept jobs of an owner, each in a transaction of its own."""
        accepted = []
        for _ in range(number):
            async with self.composition.database().transaction():
                job = NewJob(
                    **({"kind": "tests.obey", "queue": self.name, "payload": {}, "owner_id": owner} | more)
                )
                accepted += await self.store.add([job])
        return accepted

    async def change(self, assignments: str, of: UUID) -> None:
        """Put an owner's jobs into another state, behind the program's back."""
        await run_sql(
            self.composition,
            f"UPDATE jobs.jobs SET {assignments} WHERE owner_id = :of AND queue = :queue",
            of=of,
            queue=self.name,
        )

    async def serve(self, number: int, *runners: JobRunner) -> list[UUID | None]:
        """Claim jobs, one after another by each runner in turn, which all stay running; return whose they were."""
        owners = []
        for place in range(number):
            claimed = await runners[place % len(runners)].claim_next(self.name)
            owners.append(claimed and claimed.owner_id)
        return owners


@pytest.fixture
def queue(app, composition, declared: None) -> Queue:
    return Queue(composition)


@pytest.fixture(params=["by turn alone", "fairly"])
def claims(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every claim go by turn alone, or every claim look at what runs too."""
    monkeypatch.setattr(fair_claims, "FAIR_CLAIM_PAUSE", 1e9 if request.param == "by turn alone" else 0.0)
    monkeypatch.setattr(
        fair_claims.FairClaims, "is_fair_claim_due", lambda _self, _queue: request.param == "fairly"
    )
    return


@pytest.mark.usefixtures("claims")
async def test_an_owner_of_one_job_is_not_delayed_by_one_of_many(queue: Queue, runner) -> None:
    many, few = new_id(), new_id()
    await queue.accept(many, 20)
    assert await queue.serve(1, runner) == [many]
    await queue.accept(few, 3)
    assert few in await queue.serve(2, runner)
    assert (await queue.serve(20, runner)).count(few) == 2


async def fail_and_retry(queue: Queue, owner: UUID) -> None:
    await queue.change("state = 'failed', finished_at = now()", owner)
    jobs = queue.composition.jobs
    for job in await jobs.operations().latest(_of(owner), limit=100):
        assert await jobs.rows().retry(job.id, most=1000) is not None


async def fail_and_retry_in_bulk(queue: Queue, owner: UUID) -> None:
    kind = f"tests.{new_id()}"
    await queue.change(f"state = 'failed', finished_at = now(), kind = '{kind}'", owner)
    operations = queue.composition.jobs.operations()
    counted = await operations.count_failed(kind, within=timedelta(hours=1))
    assert await operations.retry_failed(kind, OPERATOR, within=timedelta(hours=1), until=counted.until) == 20


async def wait_for_another_attempt(queue: Queue, owner: UUID) -> None:
    await queue.change("state = 'retrying', run_at = now()", owner)
    await queue.composition.jobs.relay_rows().promote_due()


async def lose_their_workers(queue: Queue, owner: UUID) -> None:
    await queue.change(
        "state = 'running', lease_token = gen_random_uuid(), lease_expires_at = now() - interval '1 s'", owner
    )
    await queue.composition.jobs.relay().recover()
    await queue.change("crashes = 0", owner)


async def come_out_of_a_backup(queue: Queue, owner: UUID) -> None:
    await queue.change(
        "state = 'running', lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 h'", owner
    )
    async with queue.composition.database().transaction():
        await RecoveryRepository(queue.composition.database()).take_back()


@pytest.mark.parametrize(
    "come_back",
    [
        fail_and_retry,
        fail_and_retry_in_bulk,
        wait_for_another_attempt,
        lose_their_workers,
        come_out_of_a_backup,
    ],
)
@pytest.mark.parametrize("claims", ["by turn alone"], indirect=True)
@pytest.mark.usefixtures("claims")
async def test_requeued_jobs_keep_to_their_fair_share(
    come_back: Callable[[Queue, UUID], Awaitable[None]], queue: Queue, runner
) -> None:
    many, few, others = new_id(), new_id(), [new_id() for _ in range(3)]
    await queue.accept(many, 20)
    await queue.change("state = 'cancelled', finished_at = now()", many)
    for other in others:
        await queue.accept(other, 30)
    await queue.serve(60, runner)  # the queue has come to its twentieth turn
    await queue.change("state = 'queued', finished_at = NULL", many)
    await come_back(queue, many)
    await queue.accept(few)
    served = await queue.serve(6, runner)
    assert few in served
    assert served.count(many) <= 2


async def test_scheduled_jobs_get_their_fair_share_when_due(queue: Queue, runner) -> None:
    many, few = new_id(), new_id()
    soon = datetime.now(UTC) + timedelta(hours=1)
    await queue.accept(many, 20, run_at=soon)
    await queue.accept(many)
    assert await queue.serve(1, runner) == [many]
    await queue.accept(few, 30)
    assert await queue.serve(10, runner) == [few] * 10
    await queue.change("run_at = now()", many)
    await queue.composition.jobs.relay_rows().promote_due()
    served = await queue.serve(10, *(a_runner(queue.composition) for _ in range(2)))
    assert 3 <= served.count(few) <= 7


async def test_an_owner_with_more_jobs_running_lets_others_go_first(queue: Queue) -> None:
    busy, idle = new_id(), new_id()
    await queue.accept(busy, 20)
    runners = [a_runner(queue.composition) for _ in range(6)]
    assert await queue.serve(3, *runners[:3]) == [busy] * 3
    await queue.accept(idle, 20)
    # Some of the busy owner's jobs are even ahead: they were accepted at the same moment.
    await queue.change("turn = 0", busy)
    assert await queue.serve(3, *runners[3:]) == [idle] * 3
    # Both have as many running now.
    served = await queue.serve(6, *(a_runner(queue.composition) for _ in range(6)))
    assert served.count(busy) == 3


async def test_a_single_worker_alternates_between_owners(queue: Queue, composition, monkeypatch) -> None:
    monkeypatch.setattr(fair_claims, "FAIR_CLAIM_PAUSE", 0.0)
    runner = a_runner(composition)
    many, few = new_id(), new_id()
    await queue.accept(many, 10)
    served = []
    while len(served) < 2:
        claimed = await runner.claim_next(queue.name)
        served.append(claimed.owner_id)
        await runner.run(claimed)
        if len(served) == 1:
            await queue.accept(few)
    assert served == [many, few]


async def test_jobs_that_are_accepted_at_the_same_moment_are_no_way_around(queue: Queue) -> None:
    many, few = new_id(), new_id()
    await asyncio.gather(*(queue.accept(many) for _ in range(40)))
    await queue.accept(few)
    served = await queue.serve(3, *(a_runner(queue.composition) for _ in range(3)))
    assert few in served


async def test_a_lower_priority_number_goes_first_among_an_owners_jobs(queue: Queue, runner) -> None:
    owner = new_id()
    await queue.accept(owner, 5)
    (urgent,) = await queue.accept(owner, priority=1)
    assert (await runner.claim_next(queue.name)).id == urgent


@pytest.mark.usefixtures("claims")
async def test_priority_passes_no_other_owner(queue: Queue, runner) -> None:
    many, few = new_id(), new_id()
    await queue.accept(many, 20, priority=1)
    await queue.accept(few, priority=100)
    assert few in await queue.serve(2, runner)


@pytest.mark.usefixtures("claims")
async def test_jobs_without_an_owner_neither_delay_nor_wait_for_others(queue: Queue, runner) -> None:
    owner = new_id()
    await queue.accept(None, 20)
    await queue.accept(owner, 20)
    assert await queue.serve(1, runner) in ([owner], [None])
    served = await queue.serve(10, runner)
    assert served.count(owner) == 5
    await queue.accept(None, kind="tests.hasty")
    kinds = [(await runner.claim_next(queue.name)).kind for _ in range(3)]
    assert "tests.hasty" in kinds


async def test_a_retry_counts_among_the_waiting_jobs_of_its_owner(
    client, user, queue: Queue, monkeypatch
) -> None:
    jobs = queue.composition.jobs
    (failed,) = await queue.accept(user.id)
    await queue.change("state = 'failed', finished_at = now()", user.id)
    await queue.accept(user.id, 3)
    service = jobs.service()
    with monkeypatch.context() as patched:
        settings = service.settings.model_copy(update={"jobs_owner_waiting": 3})
        patched.setattr(service, "settings", settings)
        refused = await client.post(f"/v1/jobs/{failed}/retry", headers=user.headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "jobs.too_many")
    assert "Retry-After" in refused.headers
    retried = await client.post(f"/v1/jobs/{failed}/retry", headers=user.headers)
    assert retried.status_code == 202


def _of(owner: UUID):
    from domains.jobs.repository.reports import JobFilter

    return JobFilter(owner_id=owner)
