"""How long jobs took that ended since somebody last asked."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, DateTime, Float, Interval, bindparam, func, select
from sqlmodel import col

from domains.jobs.models import Job, JobState
from domains.jobs.repository.conditions import now, over
from shared.db.repository import Repository
from shared.db.statement import Statement
from shared.schemas import Row

LONGEST_GAP = timedelta(minutes=15)
"""Jobs that ended longer ago are never counted, so that no question reads a day's jobs at once."""

COMMIT_LAG = timedelta(seconds=5)
"""Age at which a row has certainly committed: counted any earlier, a late one might be missed."""


class Ended(Row):
    """Jobs of one kind that ended alike and took about as long: `bucket` counts the bounds that they reached."""

    kind: str
    state: JobState
    bucket: int
    number: int
    seconds: float


class TimestampRow(Row):
    """A moment by the database's clock."""

    at: datetime


_timestamp = DateTime(timezone=True)
_seconds = func.extract("epoch", Job.finished_at - func.coalesce(Job.begun_at, Job.finished_at))
_bucket = func.width_bucket(_seconds, bindparam("bounds", type_=ARRAY(Float))).label("bucket")
_UNTIL = Statement(select((now - bindparam("commit_lag", type_=Interval())).label("at")), TimestampRow)
_ENDED = Statement(
    select(
        col(Job.kind),
        col(Job.state),
        _bucket,
        func.count().label("number"),
        func.sum(_seconds).label("seconds"),
    )
    .where(
        over,
        col(Job.finished_at) > bindparam("since", type_=_timestamp),
        col(Job.finished_at) <= bindparam("until", type_=_timestamp),
    )
    .group_by(col(Job.kind), col(Job.state), _bucket),
    Ended,
)


class DurationRepository(Repository):
    """Looks at rows that ended lately, by the index on the moment of their end."""

    async def until(self) -> datetime:
        """Return the moment up to which every end is known."""
        found = await self.database.fetch_one(_UNTIL, commit_lag=COMMIT_LAG)
        assert found is not None  # noqa: S101  # a SELECT without FROM has one row
        return found.at

    async def ended(self, *, since: datetime, until: datetime, bounds: Sequence[float]) -> list[Ended]:
        """Count the jobs that ended after `since`, up to `until`; `bounds` are seconds, ascending."""
        earliest = max(since, until - LONGEST_GAP)
        return await self.database.fetch_all(_ENDED, since=earliest, until=until, bounds=list(bounds))
