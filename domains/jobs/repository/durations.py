"""Durations of the jobs that ended since the last query."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, DateTime, Float, Interval, func, select
from sqlmodel import col

from domains.jobs.models import Job, JobState
from domains.jobs.repository.conditions import now, over
from shared.db.query import param, query
from shared.db.repository import Repository
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


_timestamp = DateTime(timezone=True)
_seconds = func.extract("epoch", Job.finished_at - func.coalesce(Job.begun_at, Job.finished_at))
_bucket = func.width_bucket(_seconds, param("bounds", ARRAY(Float))).label("bucket")


class DurationRepository(Repository):
    """Looks at rows that ended lately, by the index on the time of their end."""

    async def until(self) -> datetime:
        """Return the time up to which every end is known."""
        return await self._until(COMMIT_LAG)

    @query(select(now - param("commit_lag", Interval())))
    async def _until(self, commit_lag: timedelta) -> datetime: ...

    async def ended(self, *, since: datetime, until: datetime, bounds: Sequence[float]) -> list[Ended]:
        """Count the jobs that ended after `since`, up to `until`; `bounds` are seconds, ascending."""
        return await self._ended(max(since, until - LONGEST_GAP), until, list(bounds))

    @query(
        select(
            col(Job.kind),
            col(Job.state),
            _bucket,
            func.count().label("number"),
            func.sum(_seconds).label("seconds"),
        )
        .where(
            over,
            col(Job.finished_at) > param("since", _timestamp),
            col(Job.finished_at) <= param("until", _timestamp),
        )
        .group_by(col(Job.kind), col(Job.state), _bucket)
    )
    async def _ended(self, since: datetime, until: datetime, bounds: list[float]) -> list[Ended]: ...
