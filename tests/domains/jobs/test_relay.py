"""The relay: lost wake-ups, jobs that become due, and schedules that fire once."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from bootstrap.container import TulouContainer
from domains.jobs.models import JobState
from domains.jobs.repository import relay as relay_repository
from domains.jobs.service.relay import Relay
from domains.jobs.settings import JobsSettings
from shared.clock import Clock
from shared.jobs import JobHandler, JobRegistry, JobType, Outbox
from shared.recurrence import Cron
from tests.domains.jobs.conftest import Enqueue, obey
from tests.domains.jobs.seeing import claim, look, run_once, run_sql


class Sent:
    """Counts wake-ups instead of sending them; a broker that is down raises."""

    def __init__(self) -> None:
        self.queues: dict[str, list[UUID]] = {}
        self.down = False

    @property
    def wake_ups(self) -> list[UUID]:
        return [wake_up for wake_ups in self.queues.values() for wake_up in wake_ups]

    def waiting(self, queue: str) -> int:
        if self.down:
            raise ConnectionError
        return len(self.queues.get(queue, []))

    def send(self, queue: str, job_ids: list[UUID]) -> None:
        if self.down:
            raise ConnectionError
        self.queues.setdefault(queue, []).extend(job_ids)


class HeldClock(Clock):
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


def a_relay(
    composition: TulouContainer,
    sent: Sent,
    *,
    registry: JobRegistry | None = None,
    clock: Clock | None = None,
    **settings,
) -> Relay:
    known = registry or composition.registry()
    quick = {"jobs_hint_grace": 0, "jobs_hint_window": 10_000} | settings
    return Relay(
        rows=composition.jobs.relay_rows(),
        registry=known,
        outbox=Outbox(known, composition.jobs.store()),
        wake_ups=sent,
        transaction=composition.database().transaction,
        settings=JobsSettings(**quick),
        clock=clock or composition.clock(),
    )


async def test_a_lost_wake_up_is_sent_again(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue()
    sent = Sent()
    relay = a_relay(composition, sent)
    await relay.send_wake_ups()
    assert sent.wake_ups.count(job_id) == 1
    await relay.send_wake_ups()
    assert sent.wake_ups.count(job_id) == 1


async def test_wake_ups_that_a_broker_lost_are_sent_again_soon(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue()
    sent = Sent()
    relay = a_relay(composition, sent, jobs_hint_repeat=3600)
    await relay.send_wake_ups()
    sent.queues.clear()
    await relay.send_wake_ups()
    assert job_id not in sent.wake_ups, "whoever has just taken it needs a moment"
    await run_sql(
        composition, "UPDATE jobs.jobs SET published_at = now() - interval '2 s' WHERE id = :id", id=job_id
    )
    await relay.send_wake_ups()
    assert job_id in sent.wake_ups


async def test_an_unused_wake_up_is_repeated(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue()
    sent = Sent()
    relay = a_relay(composition, sent, jobs_hint_repeat=1)
    await relay.send_wake_ups()
    await run_sql(
        composition, "UPDATE jobs.jobs SET published_at = now() - interval '2 s' WHERE id = :id", id=job_id
    )
    await relay.send_wake_ups()
    assert sent.wake_ups.count(job_id) == 2


async def test_a_broker_that_is_down_costs_time_only(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue()
    sent = Sent()
    sent.down = True
    relay = a_relay(composition, sent, jobs_relay_interval=0.05)
    assert await relay.send_wake_ups() == 0
    sent.down = False
    await asyncio.sleep(0.1)  # it pauses after a failure
    await relay.send_wake_ups()
    assert job_id in sent.wake_ups


async def test_a_database_that_refuses_is_not_taken_for_a_broker_that_is_down(composition, app) -> None:
    class Refusing:
        async def mark_wake_ups(self, *_, **__) -> None:
            raise asyncpg.InvalidPasswordError("password authentication failed")

    relay = a_relay(composition, Sent())
    relay.rows = Refusing()
    with capture_logs() as logs, pytest.raises(asyncpg.InvalidPasswordError):
        await relay.send_wake_ups()
    assert logs == []


async def test_waiting_wake_ups_are_bounded(enqueue: Enqueue, composition) -> None:
    await run_sql(
        composition, "UPDATE jobs.jobs SET state = 'cancelled', finished_at = now() WHERE state = 'queued'"
    )
    for _ in range(7):
        await enqueue()
    sent = Sent()
    relay = a_relay(composition, sent, jobs_hint_window=5)
    await relay.send_wake_ups()
    await relay.send_wake_ups()
    assert len(sent.wake_ups) == 5


async def test_the_relay_leaves_the_fast_path_its_time(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue()
    sent = Sent()
    await a_relay(composition, sent, jobs_hint_grace=30).send_wake_ups()
    assert job_id not in sent.wake_ups


async def test_a_scheduled_job_becomes_due(enqueue: Enqueue, composition, runner) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    job_id = await enqueue(run_at=soon)
    assert (await look(composition, job_id)).status == "scheduled"
    await composition.jobs.relay_rows().promote_due()
    assert await claim(runner, job_id) is None
    await asyncio.sleep(0.5)
    await composition.jobs.relay_rows().promote_due()
    await run_once(runner, job_id)
    assert (await look(composition, job_id)).status == "succeeded"


async def test_a_long_backlog_is_queued_in_several_rounds(enqueue: Enqueue, composition, monkeypatch) -> None:
    rows = composition.jobs.relay_rows()
    await rows.promote_due()
    monkeypatch.setattr(relay_repository, "BATCH", 0)  # whatever a batch finds, another one follows
    monkeypatch.setattr(relay_repository, "BATCHES", 3)
    statements = []

    async def run(execution, _arguments) -> int:
        statements.append(execution.sql)
        return 1

    monkeypatch.setattr(rows, "database", SimpleNamespace(run=run))
    assert await rows.promote_due() == len(statements) == 3


async def test_a_schedule_fires_once_whatever_the_number_of_relays(composition, app) -> None:
    kind = "tests.recurring"
    registry = JobRegistry()
    registry.add([JobHandler(JobType(kind, every=timedelta(minutes=1)), obey)])
    start = datetime(2030, 1, 1, tzinfo=UTC)
    clocks = [HeldClock(start) for _ in range(3)]
    relays = [a_relay(composition, Sent(), registry=registry, clock=clock) for clock in clocks]
    for minute in range(5):
        for clock in clocks:
            clock.moment = start + timedelta(minutes=minute, seconds=7)
        await asyncio.gather(*(relay.fire_schedules() for relay in relays))
        await run_sql(
            composition,
            "UPDATE jobs.jobs SET state = 'succeeded', finished_at = now() WHERE kind = :kind AND state = 'queued'",
            kind=kind,
        )
    counted = await composition.database().fetch_one(_count_of(kind))
    assert counted.total == 4  # the first round only made the schedule known


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "latest"),
    [
        ("*/5 * * * *", "UTC", "2026-03-01T12:07:30", "2026-03-01T12:05:00"),
        ("*/5 * * * *", "UTC", "2026-03-01T12:05:00", "2026-03-01T12:05:00"),
        ("0 3 * * *", "Europe/Berlin", "2026-07-01T00:59:59", "2026-06-30T01:00:00"),
        ("0 3 * * *", "Europe/Berlin", "2026-07-01T01:00:00", "2026-07-01T01:00:00"),
        ("0 3 * * *", "Europe/Berlin", "2026-12-01T02:00:00", "2026-12-01T02:00:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T04:00:00", "2026-10-25T00:30:00"),
        ("0 0 1 * *", "America/New_York", "2026-05-01T03:59:00", "2026-04-01T04:00:00"),
    ],
)
def test_a_crontab_is_meant_in_its_zone(expression: str, zone: str, moment: str, latest: str) -> None:
    found = Cron(expression, zone).latest(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(latest).replace(tzinfo=UTC)


def test_a_mistaken_crontab_is_met_when_the_program_starts() -> None:
    for wrong in ({"cron": "61 * * * *"}, {"cron": "* * * * *", "timezone": "Europe/Atlantis"}):
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever the libraries raise
            JobType("tests.mistaken", **wrong)


async def test_an_alarm_is_logged_when_jobs_are_late(enqueue: Enqueue, composition) -> None:
    job_id = await enqueue()
    await run_sql(
        composition, "UPDATE jobs.jobs SET run_at = now() - interval '1 h' WHERE id = :id", id=job_id
    )
    with capture_logs() as logs:
        await a_relay(composition, Sent()).maintain_jobs()
    assert any(line["event"] == "jobs_are_late" for line in logs)
    await composition.jobs.rows().cancel(job_id)


async def test_the_relay_runs_until_it_is_stopped(composition, app) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(a_relay(composition, Sent(), jobs_relay_interval=0.05).run(stop))
    await asyncio.sleep(0.2)
    stop.set()
    await asyncio.wait_for(running, 5)


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.CANCELLED, JobState.FAILED])
async def test_jobs_that_ended_long_ago_are_forgotten(state, enqueue: Enqueue, composition) -> None:
    old, fresh = await enqueue(), await enqueue()
    for job_id, age in ((old, "91 days"), (fresh, "1 day")):
        await run_sql(
            composition,
            f"UPDATE jobs.jobs SET state = '{state}', finished_at = now() - interval '{age}' WHERE id = :id",
            id=job_id,
        )
    await composition.jobs.service().prune()
    assert await composition.jobs.rows().find(old) is None
    assert await composition.jobs.rows().find(fresh) is not None


def _count_of(kind: str):
    from sqlalchemy import func, select
    from sqlmodel import col

    from domains.jobs.models import Job
    from shared.db.statement import Statement
    from shared.schemas import Row

    class Total(Row):
        total: int

    return Statement(select(func.count().label("total")).where(col(Job.kind) == kind), Total)
