"""Queries of operators and monitoring about the jobs of all owners, and retries in bulk."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Interval,
    Text,
    and_,
    cast,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased
from sqlmodel import col

from domains.jobs.errors import JobNotRetryable
from domains.jobs.models import UNFINISHED, Attempt, Job, JobState, Worker
from domains.jobs.repository.conditions import in_state, now, over, running, unfinished
from domains.jobs.repository.jobs import RESET_FOR_RETRY
from domains.jobs.repository.reports import (
    AttemptRow,
    CrashCount,
    JobFilter,
    JobRecord,
    JobReport,
    MatchCount,
    QueueLoad,
    QueueThroughput,
    Tally,
    WorkerRow,
)
from domains.jobs.repository.turns import fair_share_columns, with_fair_share_turns
from domains.jobs.schemas import JobRow
from shared.db.models import columns
from shared.db.pagination import Listing, PageRequest
from shared.db.query import param, query
from shared.db.repository import Repository

RETRY_BATCH = 500
SILENT_AFTER = timedelta(seconds=35)
"""Three heartbeats that a worker has missed."""
COMMIT_LAG = timedelta(seconds=5)
"""Age at which a row of `jobs.attempts` has certainly committed: counted any earlier, a late one might be missed."""

_day: ColumnElement[timedelta] = literal_column("interval '24 hours'", Interval())
_failed = in_state(JobState.FAILED)

_LIST = Listing(
    select(*columns(Job, JobRow)),
    JobRow,
    key=col(Job.id),
    sorts={"id": col(Job.id)},  # ids grow with time, and have an index
    filters={
        "kind": col(Job.kind) == param("kind"),
        "queue": col(Job.queue) == param("queue"),
        "owner_id": col(Job.owner_id) == param("owner_id"),
        **{state.value: in_state(state) for state in JobState},
        "running": and_(running, col(Job.cancel_requested_at).is_(None)),
        "cancelling": and_(running, col(Job.cancel_requested_at).is_not(None)),
    },
)
_of_kind = param("kind", Text())
_matches = and_(
    _failed,
    or_(_of_kind.is_(None), col(Job.kind) == _of_kind),
    col(Job.finished_at) > now - param("age", Interval()),
)
_duplicate = aliased(Job, name="duplicate")
_has_duplicate = (
    select(col(_duplicate.id))
    .where(
        col(_duplicate.kind) == Job.kind,
        col(_duplicate.unique_key) == Job.unique_key,
        in_state(*UNFINISHED, table="duplicate"),
    )
    .exists()
)
_sameness = func.coalesce(Job.unique_key, cast(col(Job.id), Text))
_latest_of_the_same = (
    select(*fair_share_columns())
    .ext(distinct_on(col(Job.kind), _sameness))
    .where(_matches, col(Job.finished_at) <= param("until", DateTime(timezone=True)), ~_has_duplicate)
    .order_by(col(Job.kind), _sameness, col(Job.finished_at).desc())
    .limit(literal_column(str(RETRY_BATCH)))
)
_reset_for_retry = with_fair_share_turns(_latest_of_the_same)
_repeat = param("repeat", Interval())
_without_wake_up_since = func.greatest(Job.run_at, Job.published_at + _repeat)


def _oldest(moment: Any) -> ColumnElement[Any]:
    """Return how long ago the earliest of these moments was that lie in the past; 0 if none does."""
    return func.coalesce(func.extract("epoch", now - func.min(moment).filter(moment <= now)), 0)


_within_a_minute = col(Job.finished_at) > now - literal_column("interval '1 minute'")
_alive = col(Worker.heartbeat_at) > now - param("silence", Interval())
_serving = (
    select(func.unnest(func.string_to_array(Worker.queues, ",")).label("queue"))
    .where(_alive)
    .subquery("serving")
)
_tallies = union_all(
    select(
        literal_column("'failed'").label("what"), col(Job.kind).label("label"), func.count().label("number")
    )
    .where(_failed, col(Job.finished_at) > now - _day)
    .group_by(col(Job.kind)),
    select(literal_column("'workers'"), _serving.c.queue, func.count()).group_by(_serving.c.queue),
    select(literal_column("'relays'"), literal_column("''"), func.count()).where(
        col(Worker.queues) == literal_column("''"), _alive
    ),
).subquery("tallies")
_counted_until = now - param("commit_lag", Interval())
_since = func.coalesce(param("since", DateTime(timezone=True)), _counted_until - param("age", Interval()))
_running_there = (
    select(func.count())
    # A child process of a worker signs its jobs `<worker>/<its own pid>`.
    .where(running, func.split_part(Job.worker_id, "/", 1) == col(Worker.id))
    .scalar_subquery()
)


class OperationsRepository(Repository):
    """Questions about all rows of `jobs.jobs`, `jobs.attempts` and `jobs.workers`."""

    async def latest(self, job_filter: JobFilter, *, limit: int) -> list[JobRow]:
        """Return up to `limit` jobs, the latest first."""
        filters = job_filter.model_dump(exclude={"status"})
        flags = [job_filter.status] if job_filter.status else []
        page = await self.fetch_page(_LIST, PageRequest(limit=limit, sort="-id"), filters, flags=flags)
        return page.data

    async def report(self, job_id: UUID) -> JobReport | None:
        """Return everything about a job."""
        record = await self._record(job_id)
        return None if record is None else JobReport(job=record, attempts=await self._attempts(job_id))

    @query(select(*columns(Job, JobRecord)).where(col(Job.id) == param("job_id")))
    async def _record(self, job_id: UUID) -> JobRecord | None: ...

    @query(
        select(*columns(Attempt, AttemptRow))
        .where(col(Attempt.job_id) == param("job_id"))
        .order_by(col(Attempt.id))
    )
    async def _attempts(self, job_id: UUID) -> list[AttemptRow]: ...

    @query(select(func.count().label("number"), now.label("until")).select_from(Job).where(_matches))
    async def count_failed(self, kind: str | None, *, age: timedelta) -> MatchCount:
        """Count the jobs that failed within `age`, of one kind or of any."""

    async def retry_failed(self, kind: str | None, *, age: timedelta, until: datetime) -> int:
        """Queue up to `RETRY_BATCH` jobs anew that failed within `age`, but not after `until`; return how many.

        Of failed jobs with the same unique key the latest is taken, and none while another one lives.

        Raises:
            JobNotRetryable: a job with the same unique key was accepted in this moment. Ask again.
        """
        return len(await self._retry_failed(kind, age, until))

    # `_failed` once more: a job that another operator retried during the wait for its lock stays as it is.
    @query(
        update(Job)
        .where(col(Job.id) == _reset_for_retry.c.id, _failed)
        .values(**RESET_FOR_RETRY, turn=_reset_for_retry.c.turn)
        .returning(col(Job.id)),
        conflicts={"uq_jobs_unique_key": JobNotRetryable},
    )
    async def _retry_failed(self, kind: str | None, age: timedelta, until: datetime) -> list[UUID]: ...

    @query(
        select(
            col(Job.queue),
            col(Job.state),
            func.count().label("number"),
            func.count().filter(col(Job.published_at) > now - _repeat).label("wake_ups_sent"),
            _oldest(Job.run_at).label("due"),
            _oldest(_without_wake_up_since).label("without_wake_up"),
            func.extract("epoch", now - func.max(Job.published_at)).label("since_wake_up"),
            _oldest(Job.lease_expires_at).label("silent"),
        )
        .where(unfinished)
        .group_by(col(Job.queue), col(Job.state))
    )
    async def load(self, *, repeat: timedelta) -> list[QueueLoad]:
        """Return how many jobs of each queue and state live, and how long they have waited."""

    @query(
        select(
            col(Job.queue),
            func.count().filter(_within_a_minute).label("last_minute"),
            func.count().label("last_hour"),
        )
        .where(over, col(Job.finished_at) > now - literal_column("interval '1 hour'"))
        .group_by(col(Job.queue))
    )
    async def throughput(self) -> list[QueueThroughput]:
        """Return how many jobs of each queue ended lately."""

    @query(select(_tallies))
    async def tally(self, *, silence: timedelta = SILENT_AFTER) -> list[Tally]:
        """Count the failed jobs of the last 24 hours by kind, the workers by queue, and the relays."""

    @query(
        select(func.count().label("number"), _counted_until.label("until")).where(
            literal_column("jobs.attempts.outcome = 'crashed'"),
            col(Attempt.ended_at) > _since,
            col(Attempt.ended_at) <= _counted_until,
        )
    )
    async def crashes(
        self,
        *,
        since: datetime | None = None,
        age: timedelta = timedelta(0),
        commit_lag: timedelta = COMMIT_LAG,
    ) -> CrashCount:
        """Count the leases that were taken back since a moment, or within `age`, but for the last seconds."""

    @query(
        select(
            *(column for column in Worker.__table__.c),  # type: ignore[attr-defined]  # SQLModel's
            func.extract("epoch", now - col(Worker.heartbeat_at)).label("silence"),
            _running_there.label("running"),
        ).order_by(col(Worker.host), col(Worker.started_at))
    )
    async def workers(self) -> list[WorkerRow]:
        """Return all workers that were heard of within a day."""
