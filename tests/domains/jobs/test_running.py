"""What becomes of a job, in every way in which it can end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from bootstrap.container import TulouContainer
from domains.jobs.errors import PayloadTooLarge
from domains.jobs.service.runner import JobRunner
from shared.ids import new_id
from shared.jobs import JobOptions, LeaseLost
from shared.transactions import current_session
from tests.domains.jobs.conftest import GATES, RAN, Ask, Enqueue, a_runner


async def look(composition: TulouContainer, job_id: UUID):
    job = await composition.jobs.rows().find(job_id)
    assert job is not None
    return job


async def run_sql(composition: TulouContainer, statement: str, **values: object) -> None:
    async with composition.database().transaction():
        connection = await (await current_session()).connection()
        await connection.execute(text(statement), values)


async def run_once(runner: JobRunner, job_id: UUID) -> None:
    claimed = await runner.claim_this(job_id)
    assert claimed is not None
    await runner.run(claimed)


async def test_a_job_succeeds_with_its_result(enqueue: Enqueue, runner: JobRunner, composition) -> None:
    job_id = await enqueue(number=7)
    await run_once(runner, job_id)
    job = await look(composition, job_id)
    assert (job.status, job.result, job.attempt) == ("succeeded", {"number": 7}, 1)
    assert job.finished_at is not None


async def test_a_job_that_is_rolled_back_was_never_accepted(composition, declared: None, app) -> None:
    outbox = composition.jobs.outbox()
    with pytest.raises(ZeroDivisionError):
        async with composition.database().transaction():
            job_id = await outbox.enqueue("tests.obey", Ask())
            raise ZeroDivisionError
    assert await composition.jobs.rows().find(job_id) is None


async def test_a_job_can_be_claimed_once(enqueue: Enqueue, runner: JobRunner) -> None:
    job_id = await enqueue()
    claims = await asyncio.gather(*(runner.claim_this(job_id) for _ in range(8)))
    assert len([claim for claim in claims if claim]) == 1


async def test_an_unexpected_error_is_retried_and_then_fails_without_its_text(
    enqueue: Enqueue, runner: JobRunner, composition
) -> None:
    job_id = await enqueue("fail")
    for _ in range(3):
        await run_once(runner, job_id)
        await asyncio.sleep(0.02)
        await composition.jobs.relay_rows().ripen()
    job = await look(composition, job_id)
    assert (job.status, job.attempt) == ("failed", 3)
    assert job.error is not None
    assert job.error["code"] == "jobs.failed"
    assert "secret" not in str(job.error)


async def test_a_retry_waits_for_its_time(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue("fail")
    patient = a_runner(composition, jobs_retry_base=100)
    await run_once(patient, job_id)
    await composition.jobs.relay_rows().ripen()
    job = await look(composition, job_id)
    assert job.status == "retrying"
    assert job.run_at > job.created_at + timedelta(seconds=45)
    assert await patient.claim_this(job_id) is None


@pytest.mark.parametrize(("do", "code"), [("give up", "jobs.failed"), ("meet a fact", "tests.unfit")])
async def test_a_final_error_fails_at_once(do: str, code: str, enqueue, runner, composition) -> None:
    job_id = await enqueue(do)
    await run_once(runner, job_id)
    job = await look(composition, job_id)
    assert (job.status, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert job.error["code"] == code


async def test_a_snooze_burns_no_attempt(enqueue: Enqueue, runner: JobRunner, composition) -> None:
    job_id = await enqueue("snooze")
    await run_once(runner, job_id)
    job = await look(composition, job_id)
    assert (job.status, job.attempt) == ("retrying", 0)


async def test_an_attempt_that_takes_too_long_is_ended(enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue("wait", kind="tests.hasty")
    await run_once(runner, job_id)
    job = await look(composition, job_id)
    assert job.status == "retrying"
    assert job.error is not None
    assert job.error["code"] == "jobs.timed_out"


async def test_a_job_that_cancels_itself_is_a_failure(enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue("cancel itself")
    await run_once(runner, job_id)
    assert (await look(composition, job_id)).status == "retrying"


async def test_a_waiting_job_is_cancelled_at_once(enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue()
    assert (await composition.jobs.rows().cancel(job_id)).status == "cancelled"
    assert await runner.claim_this(job_id) is None


@pytest.mark.parametrize("do", ["wait", "stop when asked"])
async def test_a_running_job_is_cancelled(do: str, enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue(do)
    running = asyncio.create_task(run_once(runner, job_id))
    await asyncio.sleep(0.1)
    assert (await composition.jobs.rows().cancel(job_id)).status == "cancelling"
    await asyncio.wait_for(running, 10)
    assert (await look(composition, job_id)).status == "cancelled"


async def test_a_worker_that_is_stopped_gives_its_job_back_unburnt(enqueue, runner, composition) -> None:
    job_id = await enqueue("wait")
    running = asyncio.create_task(run_once(runner, job_id))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    job = await look(composition, job_id)
    assert (job.status, job.attempt) == ("retrying", 0)


async def test_a_worker_that_lost_its_lease_changes_nothing(enqueue: Enqueue, composition, runner) -> None:
    job_id = await enqueue()
    sleeper = await runner.claim_this(job_id)
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET lease_expires_at = now() - interval '1 s' WHERE id = :id",
        id=job_id,
    )
    await composition.jobs.relay().recover()
    again = await runner.claim_this(job_id)
    assert again is not None
    assert sleeper is not None
    await runner.run(sleeper)
    assert (await look(composition, job_id)).status == "running"
    await runner.run(again)
    assert (await look(composition, job_id)).status == "succeeded"


async def test_the_effect_of_a_lost_lease_rolls_back(enqueue: Enqueue, composition, runner) -> None:
    job_id = await enqueue()
    claimed = await runner.claim_this(job_id)
    await run_sql(
        composition, "UPDATE jobs.jobs SET lease_token = gen_random_uuid() WHERE id = :id", id=job_id
    )
    from domains.jobs.service.running import RunningJob

    context = RunningJob(
        claimed,
        leases=composition.jobs.leases(),
        transaction=composition.database().transaction,
        outbox=composition.jobs.outbox(),
        settings=composition.settings(),
        provide=composition.provide(),
    )
    twin = None
    with pytest.raises(LeaseLost):
        async with composition.database().transaction():
            twin = await composition.jobs.outbox().enqueue("tests.obey", Ask())
            await context.finish()
    assert await composition.jobs.rows().find(twin) is None
    with pytest.raises(LeaseLost):
        await context.confirm()


async def test_three_deaths_of_its_worker_fail_a_job(enqueue: Enqueue, composition, runner) -> None:
    job_id = await enqueue()
    for crashes in (1, 2, 3):
        assert await runner.claim_this(job_id) is not None
        await run_sql(
            composition,
            "UPDATE jobs.jobs SET lease_expires_at = now() - interval '1 s' WHERE id = :id",
            id=job_id,
        )
        await composition.jobs.relay().recover()
        job = await look(composition, job_id)
        assert job.status == ("failed" if crashes == 3 else "queued")
        assert job.attempt == 0
    assert job.error is not None
    assert job.error["code"] == "jobs.worker_died"


async def test_a_heartbeat_keeps_the_lease(enqueue: Enqueue, composition) -> None:
    GATES[1] = asyncio.Event()
    job_id = await enqueue("step", number=1)
    lively = a_runner(composition, jobs_lease=2, jobs_heartbeat=0.5)
    running = asyncio.create_task(run_once(lively, job_id))
    await asyncio.sleep(2.6)
    assert await composition.jobs.relay().recover() == 0
    job = await look(composition, job_id)
    assert (job.status, job.progress_current, job.progress_total) == ("running", 1, 3)
    GATES[1].set()
    await running
    assert (await look(composition, job_id)).status == "succeeded"


async def test_progress_is_shown_within_half_a_second(enqueue: Enqueue, runner, composition) -> None:
    GATES[2] = asyncio.Event()
    job_id = await enqueue("step", number=2)
    running = asyncio.create_task(run_once(runner, job_id))
    await asyncio.sleep(0.45)
    assert (await look(composition, job_id)).progress_message == "one of three"
    GATES[2].set()
    await running


async def test_an_unknown_kind_is_left_to_a_newer_worker(enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue()
    await run_sql(composition, "UPDATE jobs.jobs SET kind = 'tests.of_tomorrow' WHERE id = :id", id=job_id)
    await run_once(runner, job_id)
    job = await look(composition, job_id)
    assert (job.status, job.attempt) == ("retrying", 0)
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET state = 'queued', run_at = now(), created_at = now() - interval '25 h' WHERE id = :id",
        id=job_id,
    )
    await run_once(runner, job_id)
    job = await look(composition, job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "jobs.unknown_kind"


async def test_a_newer_version_of_a_payload_is_left_to_a_newer_worker(enqueue, runner, composition) -> None:
    job_id = await enqueue(kind="tests.newer")
    await run_sql(composition, "UPDATE jobs.jobs SET payload_version = 3 WHERE id = :id", id=job_id)
    await run_once(runner, job_id)
    assert (await look(composition, job_id)).status == "retrying"


async def test_a_payload_that_does_not_fit_fails_at_once(enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue()
    await run_sql(
        composition, """UPDATE jobs.jobs SET payload = '{"number": "many"}' WHERE id = :id""", id=job_id
    )
    await run_once(runner, job_id)
    job = await look(composition, job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "jobs.bad_payload"
    assert "many" not in str(job.error)


async def test_a_payload_past_its_limit_is_refused(composition, declared: None, app) -> None:
    with pytest.raises(PayloadTooLarge):
        async with composition.database().transaction():
            await composition.jobs.outbox().enqueue("tests.obey", Ask(do="x" * 40_000))


async def test_one_living_job_for_a_unique_key(enqueue: Enqueue, runner, composition) -> None:
    key = str(new_id())
    first = await enqueue(unique_key=key)
    assert await enqueue(unique_key=key) == first
    await run_once(runner, first)
    assert await enqueue(unique_key=key) != first


async def test_one_running_job_for_a_concurrency_key(enqueue: Enqueue, runner) -> None:
    key = str(new_id())
    first, second = await enqueue(concurrency_key=key), await enqueue(concurrency_key=key)
    held = await runner.claim_this(first)
    assert held is not None
    assert await runner.claim_this(second) is None
    await runner.run(held)
    assert await runner.claim_this(second) is not None


async def test_two_claims_under_one_concurrency_key_at_the_same_moment(enqueue: Enqueue, runner) -> None:
    key = str(new_id())
    jobs = [await enqueue(concurrency_key=key) for _ in range(6)]
    claims = await asyncio.gather(*(runner.claim_this(job_id) for job_id in jobs))
    assert len([claim for claim in claims if claim]) == 1


async def test_a_hint_lets_the_worker_drain_the_queue(enqueue: Enqueue, runner, composition) -> None:
    while await runner.claim_next("tests"):
        pass
    jobs = [await enqueue(number=900 + number) for number in range(5)]
    assert await runner.follow_hint(jobs[2], "tests") == 5
    assert await runner.follow_hint(jobs[2], "tests") == 0
    assert [ask.number for ask in RAN[-5:]] == [902, 900, 901, 903, 904]


async def test_a_chain_of_one_at_a_time_is_drained_without_new_hints(
    enqueue: Enqueue, runner, composition
) -> None:
    while await runner.claim_next("tests"):
        pass
    key = str(new_id())
    jobs = [await enqueue("return", concurrency_key=key) for _ in range(4)]
    assert await runner.follow_hint(jobs[0], "tests") == 4
    assert [(await look(composition, job_id)).status for job_id in jobs] == ["succeeded"] * 4


async def test_a_job_that_only_returns_succeeds_once_and_the_next_follows(
    enqueue, runner, composition
) -> None:
    while await runner.claim_next("tests"):
        pass
    first, second = await enqueue("return"), await enqueue("return")
    await run_sql(composition, "UPDATE jobs.jobs SET created_at = created_at WHERE id = :id", id=first)
    sleeper = await runner.claim_this(first)
    await run_sql(
        composition, "UPDATE jobs.jobs SET lease_token = gen_random_uuid() WHERE id = :id", id=first
    )
    following = await runner.run(sleeper, then_from="tests")
    assert (await look(composition, first)).status == "running"
    assert following is not None
    assert following.id == second


async def test_a_draining_worker_ends_after_its_job(enqueue: Enqueue, runner) -> None:
    jobs = [await enqueue() for _ in range(3)]
    runner.ends_at = lambda: time.monotonic() + 60
    assert await runner.follow_hint(jobs[0], "tests") == 1


async def test_a_worker_that_must_end_gives_its_job_back_unburnt(
    enqueue: Enqueue, runner, composition
) -> None:
    job_id = await enqueue("wait")
    ends_at = time.monotonic() + 0.5
    runner.ends_at = lambda: ends_at
    await asyncio.wait_for(runner.follow_hint(job_id, "tests"), 10)
    job = await look(composition, job_id)
    assert (job.status, job.attempt, job.error) == ("retrying", 0, None)


async def test_every_attempt_that_did_not_end_its_job_is_kept(enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue("fail")
    await run_once(runner, job_id)
    await run_sql(
        composition, "UPDATE jobs.jobs SET state = 'queued', run_at = now() WHERE id = :id", id=job_id
    )
    assert await runner.claim_this(job_id) is not None
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET lease_expires_at = now() - interval '1 s' WHERE id = :id",
        id=job_id,
    )
    await composition.jobs.relay().recover()
    async with composition.database().transaction():
        connection = await (await current_session()).connection()
        rows = await connection.execute(
            text(
                "SELECT attempt, outcome, worker_id, error->>'code' AS code"
                " FROM jobs.attempts WHERE job_id = :id ORDER BY id"
            ),
            {"id": job_id},
        )
        assert [tuple(row) for row in rows] == [
            (1, "failed", "a test", "jobs.failed"),
            (2, "crashed", "a test", None),
        ]


async def test_owners_take_turns(composition, declared: None, app, runner) -> None:
    """One owner's many jobs don't delay another's few."""
    while await runner.claim_next("tests"):
        pass
    many, few = new_id(), new_id()
    outbox = composition.jobs.outbox()

    async def accept(owner) -> UUID:
        async with composition.database().transaction():
            return await outbox.enqueue("tests.obey", Ask(), JobOptions(owner_id=owner))

    first = [await accept(many) for _ in range(20)]
    assert (await runner.claim_next("tests")).id == first[0]
    later = [await accept(few) for _ in range(3)]
    order = [(await runner.claim_next("tests")).id for _ in range(6)]
    assert [order.index(job_id) for job_id in later] == sorted(order.index(job_id) for job_id in later)
    assert set(later) <= set(order)
    again = await accept(many)
    rest = [(await runner.claim_next("tests")).id for _ in range(17)]
    assert rest[-1] == again


async def test_an_owner_has_a_limit_of_waiting_jobs(composition, declared: None, app) -> None:
    from domains.jobs.errors import TooManyJobs
    from domains.jobs.service.store import RowJobStore
    from domains.jobs.settings import JobsSettings
    from shared.jobs import NewJob

    store = RowJobStore(
        rows=composition.jobs.rows(),
        hints=composition.jobs.hints(),
        settings=JobsSettings(jobs_owner_waiting=3),
    )
    owner, other = new_id(), new_id()

    async def add(owner_id, **more) -> None:
        async with composition.database().transaction():
            await store.add([NewJob("tests.obey", "tests", {}, owner_id=owner_id, **more)])

    for _ in range(3):
        await add(owner)
    for more in ({}, {"unique_key": "once"}):
        with pytest.raises(TooManyJobs) as refused:
            await add(owner, **more)
        assert refused.value.status == 429
        assert "Retry-After" in refused.value.headers
    await add(other)
    await add(None)


async def test_lower_priority_numbers_come_first(enqueue: Enqueue, runner) -> None:
    while await runner.claim_next("tests"):
        pass
    await enqueue()
    urgent = await enqueue(priority=1)
    claimed = await runner.claim_next("tests")
    assert claimed is not None
    assert claimed.id == urgent


async def test_a_job_that_crashed_is_taken_by_who_runs_nothing_else(
    enqueue: Enqueue, runner, composition
) -> None:
    while await runner.claim_next("tests"):
        pass
    suspect, another = await enqueue(), await enqueue()
    await run_sql(composition, "UPDATE jobs.jobs SET crashes = 1 WHERE id = :id", id=suspect)
    beside = await runner.claim_next("tests", alone=False)
    assert beside.id == another
    assert await runner.claim_next("tests", alone=False) is None
    alone = await runner.claim_next("tests", alone=True)
    assert (alone.id, alone.crashes) == (suspect, 1)


@pytest.fixture
async def told(servers) -> AsyncIterator[Callable[[UUID], Awaitable[int]]]:
    """Count the jobs that hear of a job's end."""
    connection = await asyncpg.connect(servers.superuser_url)
    heard = "SELECT count(*) FROM jobs.jobs WHERE kind = 'files.settle' AND payload ->> 'job_id' = $1"

    async def count(job_id: UUID) -> int:
        return await connection.fetchval(heard, str(job_id))

    yield count
    await connection.close()


async def test_of_a_job_whose_handler_knows_its_end_nobody_is_told(enqueue: Enqueue, runner, told) -> None:
    for do in ("succeed", "give up", "return"):
        job_id = await enqueue(do)
        await run_once(runner, job_id)
        assert await told(job_id) == 0


async def test_of_a_job_that_ends_without_its_handler_its_domain_is_told(
    enqueue: Enqueue, runner, composition, client, user, told
) -> None:
    waiting = await enqueue()
    await client.post(f"/v1/jobs/{waiting}/cancel", headers=user.headers)
    assert await told(waiting) == 1

    heedless = await enqueue("wait")
    running = asyncio.create_task(run_once(runner, heedless))
    await asyncio.sleep(0.3)
    await client.post(f"/v1/jobs/{heedless}/cancel", headers=user.headers)
    assert await told(heedless) == 0
    await asyncio.wait_for(running, 10)
    assert (await look(composition, heedless)).status == "cancelled"
    assert await told(heedless) == 1

    dying = await enqueue()
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET state = 'running', crashes = 2, attempt = 1, lease_token = gen_random_uuid(),"
        " lease_expires_at = now() - interval '1 s', begun_at = now(), worker_id = 'x' WHERE id = :id",
        id=dying,
    )
    await composition.jobs.relay().recover()
    assert (await look(composition, dying)).status == "failed"
    assert await told(dying) == 1
