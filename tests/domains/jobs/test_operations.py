"""Operators and monitoring read all jobs, and retry them in bulk."""

from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any
from uuid import UUID

import pytest

from domains.jobs.models import JobState
from domains.jobs.repository.reports import JobFilter, QueueLoad
from domains.jobs.service.operations import OperationsService, relay_lag
from shared.audit import Actor
from shared.ids import new_id
from shared.jobs import NewJob
from tests.domains.jobs.seeing import claim, look, run_sql

OPERATOR = Actor(operator="tests@here")
FAILED = {"state": "failed", "finished_at": "now()"}
LEASED = {
    "state": "running",
    "lease_token": "gen_random_uuid()",
    "lease_expires_at": "now() + interval '1 h'",
}


@pytest.fixture
def operations(app, composition) -> OperationsService:
    return composition.jobs.operations()


@pytest.fixture
def word() -> str:
    """A name that nobody else has: for a queue or a kind."""
    return f"tests-{token_hex(6)}"


async def put(composition, word: str, **values: Any) -> UUID:
    """Write a job of the kind and queue `word`; strings in `values` are SQL."""
    keys = {name: values.pop(name) for name in ("unique_key", "owner_id") if name in values}
    async with composition.database().transaction():
        job_id = await composition.jobs.rows().insert_job(
            NewJob(kind=word, queue=word, payload={"thing_id": str(new_id())}, **keys), most=100
        )
    if values:
        changes = ", ".join(
            f"{name} = '{value}'" if name in {"state", "worker_id"} else f"{name} = {value}"
            for name, value in values.items()
        )
        await run_sql(composition, f"UPDATE jobs.jobs SET {changes} WHERE id = :id", id=job_id)
    return job_id


async def crash(composition, job_id: UUID, ago: str) -> None:
    await run_sql(
        composition,
        "INSERT INTO jobs.attempts (job_id, attempt, outcome, worker_id, started_at, ended_at)"
        f" VALUES (:id, 1, 'crashed', 'a:1', now() - interval '1 day', now() - interval '{ago}')",
        id=job_id,
    )


async def test_jobs_are_listed_by_what_one_asks_for(operations, composition, word) -> None:
    owner = new_id()
    queued = await put(composition, word, owner_id=owner)
    running = await put(composition, word, **LEASED)
    stopping = await put(composition, word, **LEASED, cancel_requested_at="now()")
    failed = await put(composition, word, **FAILED)

    async def found(**wanted: Any) -> list[UUID]:
        jobs = await operations.latest(JobFilter(kind=word, **wanted), limit=10)
        return [job.id for job in jobs]

    assert await found() == [failed, stopping, running, queued]
    assert await found(status="queued") == [queued]
    assert await found(status="running") == [running]
    assert await found(status="cancelling") == [stopping]
    assert await found(status="failed", queue=word) == [failed]
    assert await found(queue="another") == []
    assert await found(owner_id=owner) == [queued]
    assert len(await operations.latest(JobFilter(kind=word), limit=3)) == 3


async def test_a_report_has_everything_but_the_token_that_ends_the_job(operations, composition, word) -> None:
    job_id = await put(composition, word, **LEASED, worker_id="a:1/2")
    await crash(composition, job_id, "1 min")
    report = await operations.report(job_id)
    assert report.job.worker_id == "a:1/2"
    assert "thing_id" in report.job.payload
    assert [(row.attempt, row.outcome.value) for row in report.attempts] == [(1, "crashed")]
    assert "lease_token" not in report.model_dump()["job"]


async def test_failed_jobs_are_started_again_in_bulk(operations, composition, word) -> None:
    lately = [await put(composition, word, **FAILED, attempt=5, crashes=2) for _ in range(3)]
    long_ago = await put(composition, word, state="failed", finished_at="now() - interval '3 h'")
    done = await put(composition, word, state="succeeded", finished_at="now()")
    other = await put(composition, f"{word}-other", **FAILED)
    within = timedelta(hours=2)
    counted = await operations.count_failed(word, within=within)
    assert counted.number == 3
    assert await operations.retry_failed(word, OPERATOR, within=within, until=counted.until) == 3
    for job_id in lately:
        job = await look(composition, job_id)
        assert (job.status, job.attempt, job.error) == ("queued", 0, None)
    states = [(await look(composition, job_id)).status for job_id in (long_ago, done, other)]
    assert states == ["failed", "succeeded", "failed"]
    assert (await operations.count_failed(word, within=None)).number == 1


async def test_more_than_a_batch_is_started_again(operations, composition, word) -> None:
    job_id = await put(composition, word, **FAILED)
    await run_sql(
        composition,
        "INSERT INTO jobs.jobs SELECT (jsonb_populate_record(job, jsonb_build_object('id', gen_random_uuid()))).*"
        " FROM jobs.jobs AS job, generate_series(1, 1099) WHERE job.id = :id",
        id=job_id,
    )
    counted = await operations.count_failed(word, within=None)
    assert counted.number == 1100
    assert await operations.retry_failed(word, OPERATOR, within=None, until=counted.until) == 1100
    assert (await operations.count_failed(word, within=None)).number == 0
    await run_sql(composition, "DELETE FROM jobs.jobs WHERE kind = :kind", kind=word)


async def test_jobs_that_fail_again_meanwhile_are_not_started_for_ever(operations, composition, word) -> None:
    await put(composition, word, **FAILED)
    before = datetime.now(UTC) - timedelta(minutes=1)
    assert await operations.retry_failed(word, OPERATOR, within=None, until=before) == 0


async def test_work_that_another_job_does_is_not_started_again(operations, composition, word) -> None:
    older = await put(
        composition, word, unique_key="one", state="failed", finished_at="now() - interval '1 min'"
    )
    newer = await put(composition, word, unique_key="one", **FAILED)
    replaced = await put(composition, word, unique_key="two", **FAILED)
    living = await put(composition, word, unique_key="two")
    counted = await operations.count_failed(word, within=None)
    assert counted.number == 3
    assert await operations.retry_failed(word, OPERATOR, within=None, until=counted.until) == 1
    states = {job_id: (await look(composition, job_id)).status for job_id in (older, newer, replaced, living)}
    assert states == {older: "failed", newer: "queued", replaced: "failed", living: "queued"}
    (answer,) = await operations.retry([replaced], OPERATOR)
    assert answer.error is not None
    assert "same unique key" in answer.error


async def test_orders_are_answered_one_by_one(operations, composition, word) -> None:
    failed, queued = await put(composition, word, **FAILED), await put(composition, word)
    done = await put(composition, word, state="succeeded", finished_at="now()")
    unknown = new_id()
    retried = await operations.retry([failed, queued, unknown], OPERATOR)
    assert [answer.status for answer in retried] == ["queued", None, None]
    assert "is queued" in str(retried[1].error)
    assert str(unknown) in str(retried[2].error)
    cancelled = await operations.cancel([queued, done, unknown], OPERATOR)
    assert [answer.status for answer in cancelled] == ["cancelled", None, None]
    assert "has succeeded already" in str(cancelled[1].error)


async def test_statistics_tell_what_there_is_to_do(operations, composition, word) -> None:
    await put(composition, word, run_at="now() - interval '50 s'")
    await put(composition, word, run_at="now() + interval '1 h'", state="scheduled")
    await put(composition, word, run_at="now() - interval '90 s'", **LEASED)
    await put(composition, word, run_at="now() + interval '1 h'", state="retrying")
    await put(composition, word, state="succeeded", finished_at="now() - interval '10 s'")
    await put(composition, word, state="cancelled", finished_at="now() - interval '10 min'")
    crashed = await put(composition, word, **FAILED)
    await put(composition, word, state="failed", finished_at="now() - interval '2 d'")
    before = (await operations.statistics()).leases_expired
    await crash(composition, crashed, "1 h")
    await crash(composition, crashed, "25 h")
    statistics = await operations.statistics()
    (row,) = [row for row in statistics.queues if row.queue == word]
    assert (row.scheduled, row.queued, row.running, row.retrying) == (1, 1, 1, 1)
    assert row.oldest_due_seconds == pytest.approx(50, abs=10)
    assert (row.ended_last_minute, row.ended_last_hour) == (2, 3)
    assert statistics.failed_by_kind[word] == 1
    assert statistics.leases_expired == before + 1


async def test_expired_leases_are_counted_once_and_none_is_missed(operations, composition, word) -> None:
    # What tests before this one let crash in the last seconds would be counted too.
    await run_sql(composition, "UPDATE jobs.attempts SET ended_at = ended_at - interval '1 minute'")
    job_id = await put(composition, word)
    begun = await operations.crashes(None)
    assert begun.number == 0
    await crash(composition, job_id, "0 s")
    assert (await operations.crashes(begun.until)).number == 0  # not yet certain to be the last of its second
    await run_sql(
        composition,
        "UPDATE jobs.attempts SET ended_at = :at WHERE job_id = :id",
        id=job_id,
        at=begun.until + timedelta(microseconds=1),
    )
    counted = await operations.crashes(begun.until)
    assert counted.number == 1
    assert (await operations.crashes(counted.until)).number == 0


async def test_workers_are_listed_with_what_they_do(operations, composition, word) -> None:
    for name, ago in ((word, "1 s"), (f"{word}-silent", "40 s")):
        await run_sql(
            composition,
            "INSERT INTO jobs.workers (id, host, pid, queues, version, draining, heartbeat_at)"
            f" VALUES (:id, 'host', 1, :queues, '1', false, now() - interval '{ago}')",
            id=name,
            queues=f"{word},{word}-too",
        )
    await put(composition, word, **LEASED, worker_id=f"{word}/7")
    await put(composition, word, **LEASED, worker_id=f"{word}/8")
    found = {worker.id: worker for worker in await operations.workers()}
    assert (found[word].running, found[f"{word}-silent"].running) == (2, 0)
    assert found[f"{word}-silent"].silence == pytest.approx(40, abs=5)
    serving = {row.queue: row.workers for row in (await operations.load()).queues}
    assert (serving[word], serving[f"{word}-too"], serving["mail"] >= 0) == (1, 1, True)
    await run_sql(composition, "DELETE FROM jobs.workers WHERE host = 'host'")


async def test_a_cancel_that_comes_late_in_an_attempt_is_not_forgotten(
    operations, composition, enqueue, runner
) -> None:
    job_id = await enqueue("snooze")
    claimed = await claim(runner, job_id)
    assert [answer.status for answer in await operations.cancel([job_id], OPERATOR)] == ["cancelling"]
    await runner.run(claimed)
    job = await look(composition, job_id)
    assert (job.status, job.is_over) == ("cancelled", True)


def a_load(state: JobState = JobState.QUEUED, queue: str = "mail", **values: Any) -> QueueLoad:
    nothing = {
        "number": 1,
        "wake_ups_sent": 0,
        "due": 0.0,
        "without_wake_up": 0.0,
        "since_wake_up": None,
        "silent": 0.0,
    }
    return QueueLoad(queue=queue, state=state, **(nothing | values))


@pytest.mark.parametrize(
    ("loads", "lag"),
    [
        ([], 0),
        ([a_load(due=50.0, without_wake_up=50.0)], 50),
        ([a_load(due=50.0, without_wake_up=50.0, wake_ups_sent=64, since_wake_up=20.0)], 0),
        ([a_load(due=50.0, without_wake_up=50.0, wake_ups_sent=3, since_wake_up=0.4)], 0.4),
        ([a_load(without_wake_up=50.0), a_load(JobState.RUNNING, since_wake_up=0.3)], 0.3),
        ([a_load(without_wake_up=50.0), a_load(JobState.RUNNING, queue="files", since_wake_up=0.3)], 50),
        ([a_load(JobState.RETRYING, due=7.0)], 7),
        ([a_load(JobState.RUNNING, silent=9.0, due=99.0)], 9),
    ],
    ids=[
        "nothing to do",
        "no wake-up was ever sent",
        "all wake-ups that may be under way are",
        "a backlog, wake-ups sent regularly",
        "a backlog, its wake-ups just used up",
        "wake-ups of another queue say nothing",
        "a retry that is due",
        "a lease that is over",
    ],
)
def test_the_relay_lags_by_what_it_left_undone(loads: list[QueueLoad], lag: float) -> None:
    assert relay_lag(loads, window=64) == pytest.approx(lag)
