"""Bodies of jobs for clients, and rows for the job core."""

import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import Field

from domains.jobs.models import JobState
from shared.schemas import ResponseBody, RevisedBody, Row, UtcDatetime

JobStatus = Literal[
    "scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelling", "cancelled"
]


class JobRow(Row):
    """The columns of a job that are shown."""

    id: UUID
    kind: str
    queue: str
    state: JobState
    progress_current: int
    progress_total: int | None
    progress_message: str | None
    attempt: int
    max_attempts: int
    resource_type: str | None
    resource_id: UUID | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    cancel_requested_at: UtcDatetime | None
    created_at: UtcDatetime
    run_at: UtcDatetime
    started_at: UtcDatetime | None
    finished_at: UtcDatetime | None
    owner_id: UUID | None
    revision: int

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.finished_at is not None

    @property
    def status(self) -> JobStatus:
        """The state as clients see it."""
        if self.state is JobState.RUNNING and self.cancel_requested_at is not None:
            return "cancelling"
        return self.state.value


class ClaimedJob(Row):
    """The columns of a claimed job that a worker needs."""

    id: UUID
    kind: str
    payload: dict[str, Any]
    payload_version: int
    attempt: int
    max_attempts: int
    crashes: int
    lease_token: UUID
    owner_id: UUID | None
    resource_type: str | None
    resource_id: UUID | None
    request_id: str | None
    traceparent: str | None
    created_at: datetime

    @property
    def participant(self) -> str:
        """Whose turn it is: the owner's, or the kind's where there is none (as in `repository/turns.py`)."""
        return str(self.owner_id or self.kind)


class SuccessionRow(Row):
    """The state of a job after its end, and the job that was claimed with it."""

    finished_id: UUID | None
    claimed: ClaimedJob | None


class PostponedRow(Row):
    """The state of a job whose attempt did not end it."""

    state: JobState


ProgressValues = tuple[int, int | None, str | None]
"""Steps done, steps in all, what is being done."""


class LeaseRow(Row):
    """The result of a heartbeat."""

    cancel_requested_at: datetime | None


class WakeUpRow(Row):
    """A due job without a wake-up."""

    id: UUID
    queue: str
    traceparent: str | None = None


class LostRow(Row):
    """A job whose lease has expired."""

    id: UUID
    kind: str
    state: JobState
    crashes: int
    worker_id: str | None
    resource_type: str | None
    resource_id: UUID | None


class WorkerInfo(Row):
    """A worker's heartbeat."""

    id: str
    host: str
    pid: int
    queues: str
    version: str
    draining: bool

    @classmethod
    def of_this_process(cls, queues: Sequence[str] = (), *, draining: bool = False) -> Self:
        """Return the entry of this process; a relay serves no queue."""
        host, pid = socket.gethostname(), os.getpid()
        return cls(
            id=f"{host}:{pid}",
            host=host,
            pid=pid,
            queues=",".join(queues),
            version=version("tulou"),
            draining=draining,
        )


class Progress(ResponseBody):
    """Progress of a job."""

    current: int = Field(description="Steps done.", examples=[1])
    total: int | None = Field(None, description="Total number of steps, if known.", examples=[4])
    percent: int | None = Field(None, ge=0, le=100, description="Steps done, in percent.", examples=[25])
    message: str | None = Field(None, description="Current step.", examples=["small"])


class JobResource(ResponseBody):
    """The resource that the job works on."""

    type: str = Field(description="What it is.", examples=["file"])
    id: UUID
    url: str | None = Field(
        None, description="Where it is.", examples=["/v1/files/0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"]
    )


class JobBody(RevisedBody):
    """A job: background work for a user."""

    id: UUID
    kind: str = Field(description="What is done.", examples=["files.process"])
    status: JobStatus = Field(description="Where it stands.", examples=["running"])
    progress: Progress = Field(description="Progress.")
    attempt: int = Field(description="Number of started attempts.", examples=[1])
    max_attempts: int = Field(description="Largest number of attempts.", examples=[5])
    resource: JobResource | None = Field(None, description="The resource that the job works on.")
    result: dict[str, Any] | None = Field(
        None, description="Result of a succeeded job.", examples=[{"renditions": 3}]
    )
    error: dict[str, Any] | None = Field(
        None,
        description="The last failure: `title`, `status`, `detail`, `code` of its problem document.",
        examples=[
            {
                "title": "The input can't be accepted",
                "status": 422,
                "detail": "The content is damaged or does not match its type.",
                "code": "files.broken_document",
            }
        ],
    )
    created_at: UtcDatetime
    run_at: UtcDatetime = Field(description="Earliest time of the next attempt.")
    started_at: UtcDatetime | None = Field(None, description="Time of the first attempt.")
    finished_at: UtcDatetime | None = Field(None, description="Time at which the job ended.")
    expires_at: UtcDatetime | None = Field(None, description="Time at which the ended job is deleted.")


class Retention(Row):
    """How long ended jobs are kept."""

    succeeded: timedelta
    cancelled: timedelta
    failed: timedelta

    def expiry(self, job: JobRow) -> datetime | None:
        """Return the time at which the job is deleted."""
        kept = {
            JobState.SUCCEEDED: self.succeeded,
            JobState.CANCELLED: self.cancelled,
            JobState.FAILED: self.failed,
        }.get(job.state)
        return None if kept is None or job.finished_at is None else job.finished_at + kept


def body_of(job: JobRow, retention: Retention, resource_urls: dict[str, str]) -> JobBody:
    """Convert a row to what clients see."""
    return JobBody(
        id=job.id,
        kind=job.kind,
        status=job.status,
        progress=_progress(job),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        resource=_resource(job, resource_urls),
        result=job.result,
        error=job.error,
        created_at=job.created_at,
        run_at=job.run_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=retention.expiry(job),
        revision=job.revision,
    )


def _progress(job: JobRow) -> Progress:
    total = job.progress_total
    percent = min(100, 100 * job.progress_current // total) if total else None
    if job.state is JobState.SUCCEEDED:
        percent = 100
    return Progress(current=job.progress_current, total=total, percent=percent, message=job.progress_message)


def _resource(job: JobRow, resource_urls: dict[str, str]) -> JobResource | None:
    if job.resource_type is None or job.resource_id is None:
        return None
    pattern = resource_urls.get(job.resource_type)
    url = pattern.format(id=job.resource_id) if pattern else None
    return JobResource(type=job.resource_type, id=job.resource_id, url=url)
