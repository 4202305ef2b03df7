"""What operators and monitoring ask about all jobs, whoever owns them; and retries in bulk."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Interval,
    Text,
    and_,
    bindparam,
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
from domains.jobs.models import LIVING, Attempt, Job, JobState, Worker
from domains.jobs.repository.conditions import in_state, living, now, over, running
from domains.jobs.repository.fair_share import fair_share_columns, with_fair_share_turns
from domains.jobs.repository.jobs import BEGUN_ANEW
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
from domains.jobs.schemas import JobId, JobRow
from shared.db.conflicts import conflicts_translated
from shared.db.models import columns
from shared.db.pagination import Listing, PageRequest
from shared.db.repository import Repository
from shared.db.statement import Statement

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
        "kind": col(Job.kind) == bindparam("kind"),
        "queue": col(Job.queue) == bindparam("queue"),
        "owner_id": col(Job.owner_id) == bindparam("owner_id"),
        **{state.value: in_state(state) for state in JobState},
        "running": and_(running, col(Job.cancel_requested_at).is_(None)),
        "cancelling": and_(running, col(Job.cancel_requested_at).is_not(None)),
    },
)
_RECORD = Statement(select(*columns(Job, JobRecord)).where(col(Job.id) == bindparam("job_id")), JobRecord)
_ATTEMPTS = Statement(
    select(*columns(Attempt, AttemptRow))
    .where(col(Attempt.job_id) == bindparam("of_job"))
    .order_by(col(Attempt.id)),
    AttemptRow,
)

_of_kind = bindparam("of_kind", type_=Text())
_matches = and_(
    _failed,
    or_(_of_kind.is_(None), col(Job.kind) == _of_kind),
    col(Job.finished_at) > now - bindparam("age", type_=Interval()),
)
_COUNT_FAILED = Statement(
    select(func.count().label("number"), now.label("until")).select_from(Job).where(_matches), MatchCount
)
_duplicate = aliased(Job, name="duplicate")
_has_duplicate = (
    select(col(_duplicate.id))
    .where(
        col(_duplicate.kind) == Job.kind,
        col(_duplicate.unique_key) == Job.unique_key,
        in_state(*LIVING, table="duplicate"),
    )
    .exists()
)
_sameness = func.coalesce(Job.unique_key, cast(col(Job.id), Text))
_latest_of_the_same = (
    select(*fair_share_columns())
    .ext(distinct_on(col(Job.kind), _sameness))
    .where(
        _matches, col(Job.finished_at) <= bindparam("until", type_=DateTime(timezone=True)), ~_has_duplicate
    )
    .order_by(col(Job.kind), _sameness, col(Job.finished_at).desc())
    .limit(literal_column(str(RETRY_BATCH)))
)
_begun_anew = with_fair_share_turns(_latest_of_the_same)
_RETRY_FAILED = Statement(
    update(Job)
    # `_failed` once more: a job that another operator retried while we waited for its lock stays as it is.
    .where(col(Job.id) == _begun_anew.c.id, _failed)
    .values(**BEGUN_ANEW, turn=_begun_anew.c.turn)
    .returning(col(Job.id)),
    JobId,
)

_repeat = bindparam("repeat", type_=Interval())
_without_wake_up_since = func.greatest(Job.run_at, Job.published_at + _repeat)


def _oldest(moment: Any) -> ColumnElement[Any]:
    """Return how long ago the earliest of these moments was that lie in the past; 0 if none does."""
    return func.coalesce(func.extract("epoch", now - func.min(moment).filter(moment <= now)), 0)


_LOAD = Statement(
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
    .where(living)
    .group_by(col(Job.queue), col(Job.state)),
    QueueLoad,
)
_within_a_minute = col(Job.finished_at) > now - literal_column("interval '1 minute'")
_THROUGHPUT = Statement(
    select(
        col(Job.queue),
        func.count().filter(_within_a_minute).label("last_minute"),
        func.count().label("last_hour"),
    )
    .where(over, col(Job.finished_at) > now - literal_column("interval '1 hour'"))
    .group_by(col(Job.queue)),
    QueueThroughput,
)

_alive = col(Worker.heartbeat_at) > now - bindparam("silence", type_=Interval())
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
_TALLY = Statement(select(_tallies), Tally)

_counted_until = now - bindparam("commit_lag", type_=Interval())
_since = func.coalesce(
    bindparam("since", type_=DateTime(timezone=True)), _counted_until - bindparam("age", type_=Interval())
)
_CRASHES = Statement(
    select(func.count().label("number"), _counted_until.label("until")).where(
        literal_column("jobs.attempts.outcome = 'crashed'"),
        col(Attempt.ended_at) > _since,
        col(Attempt.ended_at) <= _counted_until,
    ),
    CrashCount,
)
_running_there = (
    select(func.count())
    # A child process of a worker signs its jobs `<worker>/<its own pid>`.
    .where(running, func.split_part(Job.worker_id, "/", 1) == col(Worker.id))
    .scalar_subquery()
)
_WORKERS = Statement(
    select(
        *(column for column in Worker.__table__.c),  # type: ignore[attr-defined]  # SQLModel's
        func.extract("epoch", now - col(Worker.heartbeat_at)).label("silence"),
        _running_there.label("running"),
    ).order_by(col(Worker.host), col(Worker.started_at)),
    WorkerRow,
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
        record = await self.database.fetch_one(_RECORD, job_id=job_id)
        if record is None:
            return None
        return JobReport(job=record, attempts=await self.database.fetch_all(_ATTEMPTS, of_job=job_id))

    async def count_failed(self, kind: str | None, *, age: timedelta) -> MatchCount:
        """Count the jobs that failed within `age`, of one kind or of any."""
        (counted,) = await self.database.fetch_all(_COUNT_FAILED, of_kind=kind, age=age)
        return counted

    async def retry_failed(self, kind: str | None, *, age: timedelta, until: datetime) -> int:
        """Queue up to `RETRY_BATCH` jobs anew that failed within `age`, but not after `until`; return how many.

        Of failed jobs with the same unique key the latest is taken, and none while another one lives.

        Raises:
            JobNotRetryable: a job with the same unique key was accepted in this moment. Ask again.
        """
        with conflicts_translated({"uq_jobs_unique_key": JobNotRetryable}):
            begun = await self.database.fetch_all(_RETRY_FAILED, of_kind=kind, age=age, until=until)
        return len(begun)

    async def load(self, *, repeat: timedelta) -> list[QueueLoad]:
        """Return how many jobs of each queue and state live, and how long they have waited."""
        return await self.database.fetch_all(_LOAD, repeat=repeat)

    async def throughput(self) -> list[QueueThroughput]:
        """Return how many jobs of each queue ended lately."""
        return await self.database.fetch_all(_THROUGHPUT)

    async def tally(self) -> list[Tally]:
        """Count the failed jobs of the last 24 hours by kind, the workers by queue, and the relays."""
        return await self.database.fetch_all(_TALLY, silence=SILENT_AFTER)

    async def crashes(
        self,
        *,
        since: datetime | None = None,
        age: timedelta = timedelta(0),
        commit_lag: timedelta = COMMIT_LAG,
    ) -> CrashCount:
        """Count the leases that were taken back since a moment, or within `age`, but for the last seconds."""
        (counted,) = await self.database.fetch_all(_CRASHES, since=since, age=age, commit_lag=commit_lag)
        return counted

    async def workers(self) -> list[WorkerRow]:
        """Return all workers that were heard of within a day."""
        return await self.database.fetch_all(_WORKERS)
