"""The tables of jobs, which hold the state of all background work."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, text
from sqlmodel import Field

from shared.db.models import Table, choice, jsonb, timestamp
from shared.ids import new_id


class JobState(StrEnum):
    """State of a job.

    `cancelling` is shown to clients but not stored: running with `cancel_requested_at`.
    """

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptOutcome(StrEnum):
    """How an attempt ended that did not end its job."""

    FAILED = "failed"
    SNOOZED = "snoozed"
    # The job was released before its end; the stored value keeps the older word.
    GIVEN_BACK = "given_back"
    CRASHED = "crashed"


UNFINISHED = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING, JobState.RETRYING)
WAITING = (JobState.SCHEDULED, JobState.QUEUED, JobState.RETRYING)
OVER = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
_IS_WAITING = text("state IN ('scheduled', 'queued', 'retrying')")
_IS_LIVING = text("state IN ('scheduled', 'queued', 'running', 'retrying')")


class Job(Table, table=True):
    """One accepted piece of work. `turn` is its place among its owner's: a queue serves the lowest turns first.

    It is given each time the job becomes queued (`repository/turns.py`).
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="running_is_leased"),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="over_is_finished",
        ),
        Index(
            "ix_jobs_in_turn",
            "queue",
            "turn",
            "priority",
            "id",
            postgresql_where=text("state = 'queued'"),
        ),
        # Workers of the version before claim by it: the version after this one drops it, with a migration.
        Index(
            "ix_jobs_due",
            "queue",
            "priority",
            "turn",
            "id",
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_jobs_turns_of_owner",
            "owner_id",
            "queue",
            "turn",
            "priority",
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_jobs_turns_of_kind",
            "kind",
            "queue",
            "turn",
            "priority",
            postgresql_where=text("state = 'queued' AND owner_id IS NULL"),
        ),
        Index("ix_jobs_turns", "owner_id", "queue", "turn", postgresql_where=_IS_WAITING),
        Index("ix_jobs_waiting", "run_at", postgresql_where=text("state IN ('scheduled', 'retrying')")),
        Index("ix_jobs_leases", "lease_expires_at", postgresql_where=text("state = 'running'")),
        Index("uq_jobs_unique_key", "kind", "unique_key", unique=True, postgresql_where=_IS_LIVING),
        Index(
            "uq_jobs_concurrency_key",
            "concurrency_key",
            unique=True,
            postgresql_where=text("state = 'running'"),
        ),
        Index("ix_jobs_owner", "owner_id", "created_at", "id"),
        Index("ix_jobs_resource", "resource_id"),
        Index("ix_jobs_finished", "state", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        {"schema": "jobs", "postgresql_with": {"fillfactor": 80}},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    kind: str
    queue: str
    payload: dict[str, Any] = jsonb()
    payload_version: int = 1
    state: JobState = choice(JobState, JobState.QUEUED)
    priority: int = 100
    turn: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    run_at: datetime = timestamp(default_now=True)
    attempt: int = 0
    max_attempts: int = 5
    crashes: int = 0
    lease_token: UUID | None = None
    lease_expires_at: datetime | None = timestamp(nullable=True)
    worker_id: str | None = None
    published_at: datetime | None = timestamp(nullable=True)
    cancel_requested_at: datetime | None = timestamp(nullable=True)
    progress_current: int = 0
    progress_total: int | None = None
    progress_message: str | None = None
    result: dict[str, Any] | None = jsonb(nullable=True)
    error: dict[str, Any] | None = jsonb(nullable=True)
    concurrency_key: str | None = None
    unique_key: str | None = None
    owner_id: UUID | None = None
    resource_type: str | None = None
    resource_id: UUID | None = None
    request_id: str | None = None
    traceparent: str | None = None
    revision: int = 1
    created_at: datetime = timestamp(default_now=True)
    started_at: datetime | None = timestamp(nullable=True)
    begun_at: datetime | None = timestamp(nullable=True)
    finished_at: datetime | None = timestamp(nullable=True)


class Attempt(Table, table=True):
    """An attempt that did not end its job. The last attempt is part of the job's row."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_job_id", "job_id"),
        Index("ix_attempts_outcome", "outcome", "ended_at"),
        {"schema": "jobs"},
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    job_id: UUID = Field(foreign_key="jobs.jobs.id", ondelete="CASCADE")
    attempt: int
    outcome: AttemptOutcome = choice(AttemptOutcome, AttemptOutcome.FAILED)
    worker_id: str | None = None
    started_at: datetime | None = timestamp(nullable=True)
    ended_at: datetime = timestamp(default_now=True)
    error: dict[str, Any] | None = jsonb(nullable=True)


class Schedule(Table, table=True):
    """The latest fire time of a recurring job. The relay that moves it forward writes one job for it."""

    __tablename__ = "schedules"
    __table_args__ = ({"schema": "jobs"},)

    kind: str = Field(primary_key=True)
    fired_for: datetime = timestamp()


class Worker(Table, table=True):
    """A worker process with its last heartbeat."""

    __tablename__ = "workers"
    __table_args__ = ({"schema": "jobs"},)

    id: str = Field(primary_key=True)
    host: str
    pid: int
    queues: str
    version: str
    started_at: datetime = timestamp(default_now=True)
    heartbeat_at: datetime = timestamp(default_now=True)
    draining: bool = False
