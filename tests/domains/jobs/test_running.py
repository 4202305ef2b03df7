"""The state of a job after each way in which it can end."""

import asyncio
import time
from datetime import timedelta

import pytest

from domains.jobs.errors import PayloadTooLarge
from domains.jobs.service.runner import JobRunner
from shared.db.transaction import require_transaction
from shared.jobs import LeaseLost
from tests.domains.jobs.conftest import GATES, HASTY, NEWER, OBEY, Ask, Enqueue, a_runner
from tests.domains.jobs.seeing import claim, look, run_once, run_sql, set_apart


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
            job_id = await outbox.enqueue(OBEY, Ask())
            raise ZeroDivisionError
    assert await composition.jobs.rows().find(job_id) is None


async def test_an_unexpected_error_is_retried_and_then_fails_without_its_text(
    enqueue: Enqueue, runner: JobRunner, composition
) -> None:
    job_id = await enqueue("fail")
    for _ in range(3):
        await run_once(runner, job_id)
        await asyncio.sleep(0.02)
        await composition.jobs.relay_rows().promote_due()
    job = await look(composition, job_id)
    assert (job.status, job.attempt) == ("failed", 3)
    assert job.error is not None
    assert job.error["code"] == "jobs.failed"
    assert "secret" not in str(job.error)


async def test_a_retry_waits_for_its_time(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue("fail")
    patient = a_runner(composition, jobs_retry_base=100)
    await run_once(patient, job_id)
    await composition.jobs.relay_rows().promote_due()
    job = await look(composition, job_id)
    assert job.status == "retrying"
    assert job.run_at > job.created_at + timedelta(seconds=45)
    assert await claim(patient, job_id) is None


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
    job_id = await enqueue("wait", job=HASTY)
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
    assert await claim(runner, job_id) is None


@pytest.mark.parametrize("do", ["wait", "stop when asked"])
async def test_a_running_job_is_cancelled(do: str, enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue(do)
    running = asyncio.create_task(run_once(runner, job_id))
    async with asyncio.timeout(20):
        while (await look(composition, job_id)).status != "running":
            await asyncio.sleep(0.02)
    assert (await composition.jobs.rows().cancel(job_id)).status == "cancelling"
    await asyncio.wait_for(running, 10)
    assert (await look(composition, job_id)).status == "cancelled"


async def test_a_worker_that_is_stopped_releases_its_job_without_counting_the_attempt(
    enqueue, runner, composition
) -> None:
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
    sleeper = await claim(runner, job_id)
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET lease_expires_at = now() - interval '1 s' WHERE id = :id",
        id=job_id,
    )
    await composition.jobs.relay().recover()
    again = await claim(runner, job_id)
    assert again is not None
    assert sleeper is not None
    await runner.run(sleeper)
    assert (await look(composition, job_id)).status == "running"
    await runner.run(again)
    assert (await look(composition, job_id)).status == "succeeded"


async def test_the_effect_of_a_lost_lease_rolls_back(enqueue: Enqueue, composition, runner) -> None:
    job_id = await enqueue()
    claimed = await claim(runner, job_id)
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
    duplicate = None
    with pytest.raises(LeaseLost):
        async with composition.database().transaction():
            duplicate = await composition.jobs.outbox().enqueue(OBEY, Ask())
            await context.finish()
    assert await composition.jobs.rows().find(duplicate) is None
    with pytest.raises(LeaseLost):
        await context.confirm()


async def test_three_deaths_of_its_worker_fail_a_job(enqueue: Enqueue, composition, runner) -> None:
    job_id = await enqueue()
    for crashes in (1, 2, 3):
        assert await claim(runner, job_id) is not None
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
    job_id = await enqueue(job=NEWER)
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
            await composition.jobs.outbox().enqueue(OBEY, Ask(do="x" * 40_000))


async def test_a_draining_worker_ends_after_its_job(enqueue: Enqueue, runner) -> None:
    for _ in range(3):
        await enqueue()
    runner.ends_at = lambda: time.monotonic() + 60
    assert await runner.run_worker_loop("tests") == 1


async def test_a_worker_that_must_end_releases_its_job_without_counting_the_attempt(
    enqueue: Enqueue, runner, composition
) -> None:
    job_id = await enqueue("wait")
    ends_at = time.monotonic() + 0.5
    runner.ends_at = lambda: ends_at
    await asyncio.wait_for(runner.run_worker_loop(await set_apart(runner, job_id)), 10)
    job = await look(composition, job_id)
    assert (job.status, job.attempt, job.error) == ("retrying", 0, None)


async def test_every_attempt_that_did_not_end_its_job_is_kept(enqueue: Enqueue, runner, composition) -> None:
    job_id = await enqueue("fail")
    await run_once(runner, job_id)
    await run_sql(
        composition, "UPDATE jobs.jobs SET state = 'queued', run_at = now() WHERE id = :id", id=job_id
    )
    assert await claim(runner, job_id) is not None
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET lease_expires_at = now() - interval '1 s' WHERE id = :id",
        id=job_id,
    )
    await composition.jobs.relay().recover()
    async with composition.database().transaction():
        connection = await require_transaction().connection()
        rows = await connection.fetch(
            "SELECT attempt, outcome, worker_id, error->>'code' AS code"
            " FROM jobs.attempts WHERE job_id = $1 ORDER BY id",
            job_id,
        )
        assert [tuple(row) for row in rows] == [
            (1, "failed", "a test", "jobs.failed"),
            (2, "crashed", "a test", None),
        ]
