"""Jobs as services write them and as their owners see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    Text,
    Uuid,
    any_,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import aliased
from sqlmodel import col

from domains.jobs.errors import JobNotRetryable
from domains.jobs.models import WAITING, Job, JobState
from domains.jobs.repository.conditions import in_state, now, running, unfinished
from domains.jobs.repository.turns import fair_share_turn
from domains.jobs.schemas import JobRow
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition_of_changed
from shared.db.query import param, query
from shared.db.repository import Repository
from shared.jobs import NewJob
from shared.trace import current_trace

_due = param("run_at", DateTime(timezone=True))
_owner = param("owner_id", Uuid())
_shown = columns(Job, JobRow)
_JOBS = select(*_shown)
_is_job = col(Job.id) == param("job_id")

_queue = param("queue", Text())
_kind = param("kind", Text())
_priority = param("priority", Integer())
_most = param("most", Integer())
_other: Any = aliased(Job, name="other")
_others_waiting = in_state(*WAITING, table="other")


def _is_below_limit(owner: Any) -> ColumnElement[bool]:
    """Return whether an owner has fewer than `most` jobs waiting; always without an owner, or without a limit."""
    waiting = (
        select(literal_column("1"))
        .where(_other.owner_id == owner, _others_waiting)
        .limit(_most)
        .correlate_except(_other)
        .subquery()
    )
    number = select(func.count()).select_from(waiting).scalar_subquery()
    return or_(owner.is_(None), _most.is_(None), number < _most)


_new: dict[str, Any] = {
    "id": param("job_id", Uuid()),
    "kind": _kind,
    "queue": _queue,
    "payload": param("payload", JSONB),
    "payload_version": param("payload_version", Integer()),
    "state": case((_due > now, literal_column("'scheduled'")), else_=literal_column("'queued'")),
    "priority": _priority,
    "turn": fair_share_turn(queue=_queue, owner=_owner, kind=_kind, priority=_priority),
    "run_at": func.coalesce(_due, now),
    "attempt": literal_column("0"),
    "max_attempts": param("max_attempts", Integer()),
    "crashes": literal_column("0"),
    "progress_current": literal_column("0"),
    "concurrency_key": param("concurrency_key", Text()),
    "unique_key": param("unique_key", Text()),
    "owner_id": _owner,
    "resource_type": param("resource_type", Text()),
    "resource_id": param("resource_id", Uuid()),
    "request_id": param("request_id", Text()),
    "traceparent": param("traceparent", Text()),
    "revision": literal_column("1"),
}
_FILTERS = {
    "kind": col(Job.kind) == param("kind"),
    "resource_id": col(Job.resource_id) == param("resource_id"),
    "scheduled": in_state(JobState.SCHEDULED),
    "queued": in_state(JobState.QUEUED),
    "running": running & col(Job.cancel_requested_at).is_(None),
    "cancelling": running & col(Job.cancel_requested_at).is_not(None),
    "retrying": in_state(JobState.RETRYING),
    "succeeded": in_state(JobState.SUCCEEDED),
    "failed": in_state(JobState.FAILED),
    "cancelled": in_state(JobState.CANCELLED),
}
_SORTS = {"created_at": col(Job.created_at), "run_at": col(Job.run_at)}
_OWN = Listing(
    _JOBS.where(col(Job.owner_id) == _owner),
    JobRow,
    key=col(Job.id),
    sorts=_SORTS,
    filters=_FILTERS,
)
RESET_FOR_RETRY: dict[str, Any] = {
    "state": literal_column("'queued'"),
    "attempt": literal_column("0"),
    "crashes": literal_column("0"),
    "run_at": now,
    "error": None,
    "finished_at": None,
    "cancel_requested_at": None,
    "published_at": None,
    "revision": Job.revision + 1,
}
"""What a retry by hand makes of a job that is over. It gets a new turn too, behind those that wait."""


class JobRepository(Repository):
    """Rows of `jobs.jobs`, written in the transaction that causes them."""

    async def insert_job(self, job: NewJob, *, most: int) -> UUID | None:
        """Write a job; return its id.

        None if an unfinished one has its unique key, or if its owner has `most` jobs waiting already.
        """
        trace = current_trace()
        return await self._insert_job(
            job_id=job.id,
            kind=job.kind,
            queue=job.queue,
            payload=dict(job.payload),
            payload_version=job.payload_version,
            priority=job.priority,
            run_at=job.run_at,
            max_attempts=job.max_attempts,
            most=most,
            concurrency_key=job.concurrency_key,
            unique_key=job.unique_key,
            owner_id=job.owner_id,
            resource_type=job.resource.type if job.resource else None,
            resource_id=job.resource.id if job.resource else None,
            request_id=trace.request_id,
            traceparent=trace.traceparent,
        )

    @query(
        insert(Job)
        .from_select(
            [*_new],
            select(*(value.label(name) for name, value in _new.items())).where(_is_below_limit(_owner)),
        )
        .on_conflict_do_nothing(
            index_elements=["kind", "unique_key"],
            index_where=text("state IN ('scheduled', 'queued', 'running', 'retrying')"),
        )
        .returning(col(Job.id))
    )
    async def _insert_job(
        self,
        *,
        job_id: UUID,
        kind: str,
        queue: str,
        payload: dict[str, Any],
        payload_version: int,
        priority: int,
        run_at: datetime | None,
        max_attempts: int,
        most: int,
        concurrency_key: str | None,
        unique_key: str | None,
        owner_id: UUID | None,
        resource_type: str | None,
        resource_id: UUID | None,
        request_id: str | None,
        traceparent: str | None,
    ) -> UUID | None: ...

    @query(
        select(col(Job.id)).where(
            col(Job.kind) == param("kind"), col(Job.unique_key) == param("unique_key"), unfinished
        )
    )
    async def unfinished_duplicate(self, kind: str, unique_key: str) -> UUID | None:
        """Return the unfinished job with this unique key."""

    @query(_JOBS.where(_is_job))
    async def find(self, job_id: UUID) -> JobRow | None:
        """Return a job."""

    @query(_JOBS.where(col(Job.id) == any_(param("job_ids", ARRAY(Uuid())))))
    async def find_many(self, job_ids: Sequence[UUID]) -> list[JobRow]:
        """Return these jobs, in any order; those that are gone are left out."""

    @query(
        _JOBS.where(col(Job.resource_id) == any_(param("resource_ids", ARRAY(Uuid()))), unfinished).order_by(
            col(Job.created_at), col(Job.id)
        )
    )
    async def of_resources(self, resource_ids: Sequence[UUID]) -> list[JobRow]:
        """Return the unfinished jobs about these resources, oldest first."""

    async def page_of_owner(
        self, owner_id: UUID, request: PageRequest, *, status: str | None, filters: Mapping[str, Any]
    ) -> Page[JobRow]:
        """Return one page of an owner's jobs."""
        flags = [status] if status else []
        return await self.fetch_page(_OWN, request, dict(filters), flags=flags, owner_id=owner_id)

    async def cancel(self, job_id: UUID) -> JobRow | None:
        """End a waiting job, or ask a running one to stop; None when it is over."""
        changed = await self._cancel(job_id)
        return None if changed is None else check_precondition_of_changed(changed)

    @query(
        update(Job)
        .where(_is_job, unfinished)
        .values(
            state=case((running, literal_column("'running'")), else_=literal_column("'cancelled'")),
            finished_at=case((running, None), else_=now),
            cancel_requested_at=func.coalesce(Job.cancel_requested_at, now),
            revision=Job.revision + 1,
        )
        .returning(*_shown)
    )
    async def _cancel(self, job_id: UUID) -> JobRow | None: ...

    async def retry(self, job_id: UUID, *, most: int | None) -> JobRow | None:
        """Queue a failed or cancelled job anew; None in any other state, or if its owner has `most` jobs waiting.

        Raises:
            JobNotRetryable: an unfinished job has the same unique key.
        """
        changed = await self._retry(job_id, most)
        return None if changed is None else check_precondition_of_changed(changed)

    @query(
        update(Job)
        .where(_is_job, in_state(JobState.FAILED, JobState.CANCELLED), _is_below_limit(col(Job.owner_id)))
        .values(
            **RESET_FOR_RETRY,
            turn=fair_share_turn(
                queue=col(Job.queue), owner=col(Job.owner_id), kind=col(Job.kind), priority=col(Job.priority)
            ),
        )
        .returning(*_shown),
        conflicts={"uq_jobs_unique_key": JobNotRetryable},
    )
    async def _retry(self, job_id: UUID, most: int | None) -> JobRow | None: ...

    async def purge_owner(self, owner_id: UUID) -> None:
        """Delete an owner's jobs; those that run lose their owner, are asked to stop, and leave no result."""
        await self._delete_ended(owner_id)
        await self._disown(owner_id)

    @query(delete(Job).where(col(Job.owner_id) == _owner, ~running))
    async def _delete_ended(self, owner_id: UUID) -> None: ...

    @query(
        update(Job)
        .where(col(Job.owner_id) == _owner, running)
        .values(owner_id=None, cancel_requested_at=func.coalesce(Job.cancel_requested_at, now))
    )
    async def _disown(self, owner_id: UUID) -> None: ...

    @query(
        delete(Job).where(
            col(Job.id).in_(
                select(col(Job.id))
                .where(
                    col(Job.state) == param("state"), col(Job.finished_at) < now - param("age", Interval())
                )
                .limit(param("batch", Integer()))
                .with_for_update(skip_locked=True)
            )
        )
    )
    async def prune(self, state: JobState, *, age: timedelta, batch: int) -> int:
        """Delete up to `batch` jobs that ended longer than `age` ago; return how many."""
