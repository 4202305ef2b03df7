"""Rows that operators and monitoring read. Ages and times of waiting in seconds, by the database's clock."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from domains.jobs.models import AttemptOutcome, JobState
from domains.jobs.schemas import JobRow, WorkerInfo
from shared.schemas import Row, UtcDatetime


class JobRecord(JobRow):
    """Everything that is known of a job, but for the token that would let its reader end it."""

    payload: dict[str, Any]
    payload_version: int
    priority: int
    turn: int
    crashes: int
    unique_key: str | None
    concurrency_key: str | None
    request_id: str | None
    traceparent: str | None
    worker_id: str | None
    published_at: UtcDatetime | None
    begun_at: UtcDatetime | None
    lease_expires_at: UtcDatetime | None


class AttemptRow(Row):
    """An attempt that did not end its job, or that its worker did not survive."""

    attempt: int
    outcome: AttemptOutcome
    worker_id: str | None
    started_at: UtcDatetime | None
    ended_at: UtcDatetime
    error: dict[str, Any] | None


class MatchCount(Row):
    """How many failed jobs match, up to the moment in which they were counted."""

    number: int
    until: datetime


class QueueLoad(Row):
    """The unfinished jobs of a queue in one state.

    Args:
        wake_ups_sent: wake-ups under way.
        due: since when the oldest is due.
        without_wake_up: since when the oldest due one lacks a wake-up.
        since_wake_up: age of the latest wake-up; None if there was none.
        silent: since when the oldest lease is over.
    """

    queue: str
    state: JobState
    number: int
    wake_ups_sent: int
    due: float
    without_wake_up: float
    since_wake_up: float | None
    silent: float


class QueueThroughput(Row):
    """How many jobs of a queue ended, in whatever way."""

    queue: str
    last_minute: int
    last_hour: int


class Tally(Row):
    """How many jobs of the kind `label` failed within 24 hours, or how many workers serve the queue `label`.

    A relay is a worker that serves no queue.
    """

    what: Literal["failed", "workers", "relays"]
    label: str
    number: int


class CrashCount(Row):
    """How many leases were taken back until a moment."""

    number: int
    until: datetime


class WorkerRow(WorkerInfo):
    """A worker, how long it has been silent, and how many jobs it has."""

    started_at: UtcDatetime
    heartbeat_at: UtcDatetime
    silence: float
    running: int


class JobReport(Row):
    """A job and its attempts, oldest first."""

    job: JobRecord
    attempts: list[AttemptRow]


class JobFilter(Row):
    """Which jobs are asked for; None: all."""

    status: str | None = None
    kind: str | None = None
    queue: str | None = None
    owner_id: UUID | None = None
