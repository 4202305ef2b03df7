"""Operators' commands for jobs of all owners, recorded in the audit log, and numbers for monitoring."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from domains.jobs.errors import BadPayload, JobIsOver, JobNotFound, JobNotRetryable, UnknownKind
from domains.jobs.gateway.wake_ups import WakeUps
from domains.jobs.models import JobState
from domains.jobs.repository.jobs import JobRepository
from domains.jobs.repository.operations import RETRY_BATCH, OperationsRepository
from domains.jobs.repository.reports import (
    CrashCount,
    JobFilter,
    JobReport,
    MatchCount,
    QueueLoad,
    WorkerRow,
)
from domains.jobs.schemas import JobRow, JobStatus
from domains.jobs.service.cancelling import JobCanceller
from domains.jobs.settings import JobsSettings
from shared.audit import Actor, AuditLog
from shared.db.database import TransactionFactory
from shared.events import Event
from shared.jobs import JobOptions, JobRegistry, JobType, Outbox
from shared.schemas import Row

EVER = timedelta(days=36_500)
DAY = timedelta(days=1)


class JobCommandResult(Row):
    """The result of a command for one job. `error` is a sentence; None: it succeeded."""

    id: UUID
    status: JobStatus | None = None
    error: str | None = None


class QueueStatistics(Row):
    """A queue. `oldest_due_seconds`: how long its oldest due job has waited."""

    queue: str
    scheduled: int = 0
    queued: int = 0
    running: int = 0
    retrying: int = 0
    oldest_due_seconds: float = 0
    ended_last_minute: int = 0
    ended_last_hour: int = 0
    workers: int = 0


class Load(Row):
    """Waiting and running jobs, workers, and the failures of 24 hours.

    `relay_lag_seconds`: how long the relay is late with what it should do within a second.
    `relays`: relays with a heartbeat within 35 seconds.
    """

    queues: list[QueueStatistics]
    failed_by_kind: dict[str, int]
    relay_lag_seconds: float
    relays: int = 0


class Statistics(Load):
    """The same, with the leases that expired within 24 hours."""

    leases_expired: int


@dataclass(eq=False)
class OperationsService:
    """For `tulou jobs`, `tulou workers` and `/metrics`. No permission is checked: callers have the settings."""

    rows: OperationsRepository
    jobs: JobRepository
    wake_ups: WakeUps
    registry: JobRegistry
    outbox: Outbox
    canceller: JobCanceller
    transaction: TransactionFactory
    settings: JobsSettings
    audit: AuditLog

    async def latest(self, job_filter: JobFilter, *, limit: int) -> list[JobRow]:
        """Return up to `limit` jobs, the latest first."""
        return await self.rows.latest(job_filter, limit=limit)

    async def report(self, job_id: UUID) -> JobReport:
        """Return everything about a job.

        Raises:
            JobNotFound: there is none with this id.
        """
        report = await self.rows.report(job_id)
        if report is None:
            raise _unknown(job_id)
        return report

    async def run(self, kind: str, payload: Mapping[str, Any], actor: Actor) -> JobCommandResult:
        """Queue a job by hand. What an event is about, and whose it is, is known as if it had happened.

        Raises:
            UnknownKind: no domain declares it.
            BadPayload: the payload is invalid; unknown members are refused too.
        """
        handler = self.registry.find(kind)
        if handler is None:
            kinds = sorted(job.kind for job in self.registry.types())
            raise UnknownKind(f"No job is called {kind}; there are {', '.join(kinds)}.")
        try:
            read = handler.type.payload.model_validate(payload, extra="forbid")
        except ValidationError as error:
            raise BadPayload(_mismatch(handler.type, error)) from error
        options = (
            JobOptions(owner_id=read.owner_id, resource=read.resource) if isinstance(read, Event) else None
        )
        async with self.transaction():
            job_id = await self.outbox.enqueue(handler.type, read, options)
            owner_id = options.owner_id if options else None
            await self.audit.note("job_run", actor, user_id=owner_id, job_id=str(job_id), kind=kind)
        return JobCommandResult(id=job_id, status="queued")

    async def retry(self, job_ids: Sequence[UUID], actor: Actor) -> list[JobCommandResult]:
        """Retry failed and cancelled jobs; return the reason for each one that can't be retried."""
        return [await self._result_of(job_id, actor, self._retry) for job_id in job_ids]

    async def cancel(self, job_ids: Sequence[UUID], actor: Actor) -> list[JobCommandResult]:
        """Cancel waiting and running jobs; return the reason for each one that can't be cancelled."""
        return [await self._result_of(job_id, actor, self._cancel) for job_id in job_ids]

    async def count_failed(self, kind: str | None, *, within: timedelta | None) -> MatchCount:
        """Count failed jobs: of one kind or any, failed within a time or ever."""
        return await self.rows.count_failed(kind, age=within or EVER)

    async def retry_failed(
        self, kind: str | None, actor: Actor, *, within: timedelta | None, until: datetime
    ) -> int:
        """Queue again the failed jobs that `count_failed` counted; return how many.

        A job stays failed if another one with its unique key has not ended. The relay sends the wake-ups.
        """
        begun = 0
        while True:
            try:
                batch = await self._retry_batch(kind, actor, within=within, until=until)
            except JobNotRetryable:
                continue  # a duplicate that was committed meanwhile is visible now
            begun += batch
            if batch < RETRY_BATCH:
                return begun

    async def load(self) -> Load:
        """Return waiting jobs, failures, workers and relays."""
        queues = {queue: QueueStatistics(queue=queue) for queue in self.registry.queues()}
        loads = await self.rows.load(repeat=timedelta(seconds=self.settings.jobs_hint_repeat))
        tallies = await self.rows.tally()
        for load in loads:
            _update(queues, load.queue, **{load.state.value: load.number})
            if load.state is not JobState.RUNNING:
                longest = max(load.due, _of(queues, load.queue).oldest_due_seconds)
                _update(queues, load.queue, oldest_due_seconds=longest)
        for tally in tallies:
            if tally.what == "workers":
                _update(queues, tally.label, workers=tally.number)
        return Load(
            queues=list(queues.values()),
            failed_by_kind={tally.label: tally.number for tally in tallies if tally.what == "failed"},
            relay_lag_seconds=relay_lag(loads, window=self.settings.jobs_hint_window),
            relays=sum(tally.number for tally in tallies if tally.what == "relays"),
        )

    async def statistics(self) -> Statistics:
        """Return the load, the throughput and the number of expired leases."""
        load = await self.load()
        queues = {row.queue: row for row in load.queues}
        for row in await self.rows.throughput():
            _update(queues, row.queue, ended_last_minute=row.last_minute, ended_last_hour=row.last_hour)
        crashes = await self.rows.crashes(age=DAY, commit_lag=timedelta(0))
        return Statistics(
            **load.model_dump(exclude={"queues"}), queues=list(queues.values()), leases_expired=crashes.number
        )

    async def crashes(self, since: datetime | None) -> CrashCount:
        """Count the leases that expired since the `until` of the last answer; None: begin to count."""
        return await self.rows.crashes(since=since)

    async def workers(self) -> list[WorkerRow]:
        """Return the workers with a heartbeat within a day."""
        return await self.rows.workers()

    async def _result_of(
        self, job_id: UUID, actor: Actor, command: Callable[[UUID, Actor], Coroutine[Any, Any, JobRow]]
    ) -> JobCommandResult:
        try:
            job = await command(job_id, actor)
        except (JobNotFound, JobIsOver, JobNotRetryable) as error:
            return JobCommandResult(id=job_id, error=error.detail)
        return JobCommandResult(id=job_id, status=job.status)

    async def _retry_batch(
        self, kind: str | None, actor: Actor, *, within: timedelta | None, until: datetime
    ) -> int:
        async with self.transaction():
            batch = await self.rows.retry_failed(kind, age=within or EVER, until=until)
            if batch:
                await self.audit.note("jobs_retried", actor, kind=kind, number=batch)
        return batch

    async def _retry(self, job_id: UUID, actor: Actor) -> JobRow:
        try:
            async with self.transaction():
                queued = await self.jobs.retry(job_id, most=None)
                await self._note("job_retried", actor, queued)
        except JobNotRetryable as error:
            message = f"Another job does the work of job {job_id}: it has the same unique key."
            raise JobNotRetryable(message) from error
        if queued is None:
            job = await self._found(job_id)
            message = f"Job {job_id} is {job.status}. Only a failed or cancelled job can be retried."
            raise JobNotRetryable(message)
        self.wake_ups.send_soon(queued.queue, queued.id)
        return queued

    async def _cancel(self, job_id: UUID, actor: Actor) -> JobRow:
        async with self.transaction():
            cancelled = await self.canceller.cancel(job_id)
            await self._note("job_cancelled", actor, cancelled)
        if cancelled is None:
            job = await self._found(job_id)
            message = f"Job {job_id} has {job.status} already. It can't be cancelled any more."
            raise JobIsOver(message)
        return cancelled

    async def _note(self, act: str, actor: Actor, job: JobRow | None) -> None:
        if job is not None:
            await self.audit.note(act, actor, user_id=job.owner_id, job_id=str(job.id), kind=job.kind)

    async def _found(self, job_id: UUID) -> JobRow:
        job = await self.jobs.find(job_id)
        if job is None:
            raise _unknown(job_id)
        return job


def relay_lag(loads: Sequence[QueueLoad], *, window: int) -> float:
    """Return how many seconds the relay is late with what it does twice a second.

    That is: queue due jobs, take back expired leases, send wake-ups for due jobs while few wait. A backlog alone is no
    lag, because the relay keeps only `window` wake-ups under way, and workers use them up at any moment.
    """
    undone = [load.due for load in loads if load.state in {JobState.SCHEDULED, JobState.RETRYING}]
    undone += [load.silent for load in loads if load.state is JobState.RUNNING]
    for load in loads:
        if load.state is JobState.QUEUED and load.wake_ups_sent <= window // 2:
            wake_ups = [
                row.since_wake_up
                for row in loads
                if row.queue == load.queue and row.since_wake_up is not None
            ]
            undone.append(min([load.without_wake_up, *wake_ups]))
    return max(undone, default=0.0)


def _mismatch(job: JobType[Any], error: ValidationError) -> str:
    """Describe an invalid payload in a sentence that does not quote its values."""
    taken = ", ".join(job.payload.model_fields) or "nothing"
    wrong = "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    )
    return f"{job.kind} takes {taken}, and the payload doesn't fit: {wrong}."


def _of(queues: dict[str, QueueStatistics], queue: str) -> QueueStatistics:
    return queues.get(queue) or QueueStatistics(queue=queue)


def _update(queues: dict[str, QueueStatistics], queue: str, **found: float) -> None:
    """Update the statistics of a queue, which may be unknown to this version."""
    queues[queue] = _of(queues, queue).model_copy(update=found)


def _unknown(job_id: UUID) -> JobNotFound:
    return JobNotFound(f"No job has the id {job_id}.")
