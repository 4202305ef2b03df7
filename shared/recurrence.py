"""When a job recurs: at multiples of an interval, or at local times of a time zone, across its clock changes."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_FIELDS = 5
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_PROBE = timedelta(hours=12)
"""No zone has changed its clock twice within this time."""

_SEARCHED_YEARS = 60
"""Years that the latest fire is looked for: 29 February is a Sunday every 28 to 40 years."""


class Recurrence(Protocol):
    """When a job recurs."""

    def latest(self, moment: datetime) -> datetime:
        """Return the latest fire time up to and including `moment`, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """At each multiple of an interval since the epoch."""

    interval: timedelta

    def __post_init__(self) -> None:
        """Check the interval.

        Raises:
            ValueError: it is shorter than a second.
        """
        if self.interval < _SECOND:
            message = f"a job can't recur every {self.interval}; the shortest interval is one second"
            raise ValueError(message)

    def latest(self, moment: datetime) -> datetime:
        """Return the latest multiple."""
        seconds = self.interval.total_seconds()
        return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times of a crontab(5) expression in a zone, by the rule of Debian's cron where the clock changes.

    An expression whose minute or hour begins with `*` fires at every real minute whose wall-clock time matches: what
    is repeated fires again, what is skipped does not fire. Any other expression names fixed times, and each fires
    once on each local day: at the first of two occurrences; when it is skipped, at the moment of the change. Times of
    a day that is skipped as a whole do not fire.
    """

    expression: str
    timezone: str

    def __post_init__(self) -> None:
        """Check the expression and the zone.

        Raises:
            ValueError: the expression has not five valid fields, or names no date that exists.
            ZoneInfoNotFoundError: there is no such zone.
        """
        ZoneInfo(self.timezone)
        if len(self.expression.split()) != _FIELDS:
            message = f"the crontab expression {self.expression!r} has not five fields"
            raise ValueError(message)
        try:
            self.latest(datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            message = f"the crontab expression {self.expression!r} is not valid: {error}"
            raise ValueError(message) from error

    @property
    def is_interval(self) -> bool:
        """Whether it fires at real intervals, not at fixed times of the day."""
        minute, hour, *_ = self.expression.split()
        return minute.startswith("*") or hour.startswith("*")

    def latest(self, moment: datetime) -> datetime:
        """Return the latest time that matches."""
        fires = self._by_interval(moment) if self.is_interval else self._at_fixed_times(moment)
        found = next(fires, None)
        if found is None:
            message = f"the crontab expression {self.expression!r} never matches"
            raise ValueError(message)
        return found

    def _by_interval(self, moment: datetime) -> Iterator[datetime]:
        """Between two changes of the clock the offset is constant, and the wall clock runs like any other."""
        for start, end, offset in _segments(self.timezone, moment):
            for wall in self._matches_until(_local_time(end, offset)):
                fire = wall.replace(tzinfo=UTC) - offset
                if fire < start:
                    break
                yield fire

    def _at_fixed_times(self, moment: datetime) -> Iterator[datetime]:
        for wall in self._matches_until(_latest_local_time(self.timezone, moment)):
            fire = _first_occurrence(self.timezone, wall)
            if fire is not None and fire <= moment:
                yield fire

    def _matches_until(self, wall: datetime) -> Iterator[datetime]:
        """Yield the matching times up to and including a naive one, the latest first."""
        earliest = wall.year - _SEARCHED_YEARS
        for found in CronSim(self.expression, wall.replace(second=0, microsecond=0) + _MINUTE, reverse=True):
            if found.year < earliest:
                return
            yield found


def _local_time(moment: datetime, offset: timedelta) -> datetime:
    return (moment + offset).replace(tzinfo=None)


def _offset(zone: str, moment: datetime) -> timedelta:
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
    return offset or timedelta(0)


@lru_cache(maxsize=1024)
def _changes(zone: str, year: int) -> tuple[datetime, ...]:
    """Return the moments (UTC) of a year at which the zone's offset changes, in ascending order."""
    found = []
    before, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    while before < end:
        after = min(before + _PROBE, end)
        if _offset(zone, before) != _offset(zone, after):
            found.append(_change_between(zone, before, after))
        before = after
    return tuple(found)


def _change_between(zone: str, before: datetime, after: datetime) -> datetime:
    """Return the first second with the later offset."""
    earlier = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        if _offset(zone, middle) == earlier:
            before = middle
        else:
            after = middle
    return after


def _latest_change(zone: str, moment: datetime) -> datetime | None:
    """Return the latest change up to and including a moment, in its year or the one before."""
    changes = (*_changes(zone, moment.year - 1), *_changes(zone, moment.year))
    place = bisect_right(changes, moment)
    return changes[place - 1] if place else None


def _segments(zone: str, moment: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Yield stretches of constant offset, the latest first: start and end, both included, and the offset."""
    end = moment
    for _ in range(4 * _SEARCHED_YEARS):
        start = _latest_change(zone, end) or datetime(end.year - 1, 1, 1, tzinfo=UTC)
        yield start, end, _offset(zone, start)
        end = start - _SECOND


def _latest_local_time(zone: str, moment: datetime) -> datetime:
    """Return the latest naive time that a clock in the zone has shown up to a moment, also before it was put back."""
    shown = _local_time(moment, _offset(zone, moment))
    change = _latest_change(zone, moment)
    return (
        shown
        if change is None
        else max(shown, _local_time(change, _offset(zone, change - _SECOND)) - _SECOND)
    )


def _first_occurrence(zone: str, wall: datetime) -> datetime | None:
    """Return when the clock first shows a naive time; if it is skipped, when; None if its whole day is."""
    # fold=0 is the first of two occurrences, and leads behind the change where there is none (PEP 495).
    fire = wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    if _local_time(fire, _offset(zone, fire)) == wall:
        return fire
    change = _latest_change(zone, fire)
    if change is None or _is_skipped(zone, change, wall.date()):
        return None
    return change


def _is_skipped(zone: str, change: datetime, day: date) -> bool:
    """Tell whether a change of the clock leaves out a whole day."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001  # what the clock would show
    until = _local_time(change, _offset(zone, change - _SECOND))
    return until <= midnight and _local_time(change, _offset(zone, change)) >= midnight + timedelta(days=1)
