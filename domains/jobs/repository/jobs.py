"""Jobs as services write them and as their owners see them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
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
    bindparam,
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
from domains.jobs.repository.conditions import in_state, living, now, running
from domains.jobs.repository.fair_share import fair_share_turn
from domains.jobs.schemas import JobId, JobRow
from shared.db.conflicts import conflicts_translated
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition_of_changed
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.jobs import NewJob
from shared.trace import current_trace

_due = bindparam("due", type_=DateTime(timezone=True))
_owner = bindparam("owner", type_=Uuid())
_shown = columns(Job, JobRow)

_queue = bindparam("new_queue", type_=Text())
_kind = bindparam("new_kind", type_=Text())
_priority = bindparam("new_priority", type_=Integer())
_most = bindparam("most", type_=Integer())
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
    "id": bindparam("new_id", type_=Uuid()),
    "kind": _kind,
    "queue": _queue,
    "payload": bindparam("new_payload", type_=JSONB),
    "payload_version": bindparam("new_version", type_=Integer()),
    "state": case((_due > now, literal_column("'scheduled'")), else_=literal_column("'queued'")),
    "priority": _priority,
    "turn": fair_share_turn(queue=_queue, owner=_owner, kind=_kind, priority=_priority),
    "run_at": func.coalesce(_due, now),
    "attempt": literal_column("0"),
    "max_attempts": bindparam("attempts", type_=Integer()),
    "crashes": literal_column("0"),
    "progress_current": literal_column("0"),
    "concurrency_key": bindparam("one_at_a_time", type_=Text()),
    "unique_key": bindparam("only_one", type_=Text()),
    "owner_id": _owner,
    "resource_type": bindparam("about_type", type_=Text()),
    "resource_id": bindparam("about_id", type_=Uuid()),
    "request_id": bindparam("request", type_=Text()),
    "traceparent": bindparam("parent", type_=Text()),
    "revision": literal_column("1"),
}
_ADD = Statement(
    insert(Job)
    .from_select(
        [*_new], select(*(value.label(name) for name, value in _new.items())).where(_is_below_limit(_owner))
    )
    .on_conflict_do_nothing(
        index_elements=["kind", "unique_key"],
        index_where=text("state IN ('scheduled', 'queued', 'running', 'retrying')"),
    )
    .returning(col(Job.id)),
    JobId,
)
_LIVING_DUPLICATE = Statement(
    select(col(Job.id)).where(
        col(Job.kind) == bindparam("new_kind"), col(Job.unique_key) == bindparam("only_one"), living
    ),
    JobId,
)
_FIND = Statement(select(*_shown).where(col(Job.id) == bindparam("job_id")), JobRow)
_FIND_MANY = Statement(
    select(*_shown).where(col(Job.id) == any_(bindparam("job_ids", type_=ARRAY(Uuid())))), JobRow
)
_OF_RESOURCES = Statement(
    select(*_shown)
    .where(col(Job.resource_id) == any_(bindparam("resource_ids", type_=ARRAY(Uuid()))), living)
    .order_by(col(Job.created_at), col(Job.id)),
    JobRow,
)
_FILTERS = {
    "kind": col(Job.kind) == bindparam("kind"),
    "resource_id": col(Job.resource_id) == bindparam("resource_id"),
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
    select(*_shown).where(col(Job.owner_id) == _owner),
    JobRow,
    key=col(Job.id),
    sorts=_SORTS,
    filters=_FILTERS,
)
_CANCEL = Statement(
    update(Job)
    .where(col(Job.id) == bindparam("job_id"), living)
    .values(
        state=case((running, literal_column("'running'")), else_=literal_column("'cancelled'")),
        finished_at=case((running, None), else_=now),
        cancel_requested_at=func.coalesce(Job.cancel_requested_at, now),
        revision=Job.revision + 1,
    )
    .returning(*_shown),
    JobRow,
)
BEGUN_ANEW: dict[str, Any] = {
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
_RETRY = Statement(
    update(Job)
    .where(
        col(Job.id) == bindparam("job_id"),
        in_state(JobState.FAILED, JobState.CANCELLED),
        _is_below_limit(col(Job.owner_id)),
    )
    .values(
        **BEGUN_ANEW,
        turn=fair_share_turn(
            queue=col(Job.queue), owner=col(Job.owner_id), kind=col(Job.kind), priority=col(Job.priority)
        ),
    )
    .returning(*_shown),
    JobRow,
)
_PURGE_OWNER = Statement(delete(Job).where(col(Job.owner_id) == _owner, ~running), Nothing)
_DISOWN = Statement(
    update(Job)
    .where(col(Job.owner_id) == _owner, running)
    .values(owner_id=None, cancel_requested_at=func.coalesce(Job.cancel_requested_at, now)),
    Nothing,
)
_PRUNE = Statement(
    delete(Job).where(
        col(Job.id).in_(
            select(col(Job.id))
            .where(
                literal_column("jobs.jobs.state") == bindparam("outcome"),
                col(Job.finished_at) < now - bindparam("age", type_=Interval()),
            )
            .limit(bindparam("batch", type_=Integer()))
            .with_for_update(skip_locked=True)
        )
    ),
    Nothing,
)


class JobRepository(Repository):
    """Rows of `jobs.jobs`, written in the transaction that causes them."""

    async def insert_job(self, job: NewJob, *, most: int) -> UUID | None:
        """Write a job; return its id.

        None if a living one has its unique key, or if its owner has `most` jobs waiting already.
        """
        trace = current_trace()
        row = await self.database.fetch_one(
            _ADD,
            new_id=job.id,
            new_kind=job.kind,
            new_queue=job.queue,
            new_payload=dict(job.payload),
            new_version=job.payload_version,
            new_priority=job.priority,
            due=job.run_at,
            attempts=job.max_attempts,
            most=most,
            one_at_a_time=job.concurrency_key,
            only_one=job.unique_key,
            owner=job.owner_id,
            about_type=job.resource.type if job.resource else None,
            about_id=job.resource.id if job.resource else None,
            request=trace.request_id,
            parent=trace.traceparent,
        )
        return row.id if row else None

    async def living_duplicate(self, kind: str, unique_key: str) -> UUID | None:
        """Return the living job with this unique key."""
        row = await self.database.fetch_one(_LIVING_DUPLICATE, new_kind=kind, only_one=unique_key)
        return row.id if row else None

    async def find(self, job_id: UUID) -> JobRow | None:
        """Return a job."""
        return await self.database.fetch_one(_FIND, job_id=job_id)

    async def find_many(self, job_ids: Sequence[UUID]) -> list[JobRow]:
        """Return these jobs, in any order; those that are gone are left out."""
        return await self.database.fetch_all(_FIND_MANY, job_ids=list(job_ids))

    async def of_resources(self, resource_ids: Sequence[UUID]) -> list[JobRow]:
        """Return the living jobs about these resources, oldest first."""
        return await self.database.fetch_all(_OF_RESOURCES, resource_ids=list(resource_ids))

    async def page_of_owner(
        self, owner_id: UUID, request: PageRequest, *, status: str | None, filters: Mapping[str, Any]
    ) -> Page[JobRow]:
        """Return one page of somebody's jobs."""
        present = dict(filters)
        return await self.fetch_page(_OWN, request, present, flags=[status] if status else [], owner=owner_id)

    async def cancel(self, job_id: UUID) -> JobRow | None:
        """End a waiting job, or ask a running one to stop; None when it is over."""
        changed = await self.database.fetch_one(_CANCEL, job_id=job_id)
        return None if changed is None else check_precondition_of_changed(changed)

    async def retry(self, job_id: UUID, *, most: int | None) -> JobRow | None:
        """Queue a failed or cancelled job anew; None in any other state, or if its owner has `most` jobs waiting.

        Raises:
            JobNotRetryable: a living job has the same unique key.
        """
        with conflicts_translated({"uq_jobs_unique_key": JobNotRetryable}):
            changed = await self.database.fetch_one(_RETRY, job_id=job_id, most=most)
        return None if changed is None else check_precondition_of_changed(changed)

    async def purge_owner(self, owner_id: UUID) -> None:
        """Forget somebody's jobs; those that run lose their owner, are asked to stop, and leave no result."""
        await self.database.execute(_PURGE_OWNER, owner=owner_id)
        await self.database.execute(_DISOWN, owner=owner_id)

    async def prune(self, state: JobState, *, age: timedelta, batch: int) -> int:
        """Forget up to `batch` jobs that ended longer than `age` ago; return how many."""
        return await self.database.execute(_PRUNE, outcome=state.value, age=age, batch=batch)
