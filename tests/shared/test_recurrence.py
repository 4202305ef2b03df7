"""Fire times of recurring jobs at clock changes, compared minute by minute with local time."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from shared.jobs import JobType, NoPayload
from shared.recurrence import Cron, Every

MINUTE = timedelta(minutes=1)
CHANGES = {
    "Berlin, spring": ("Europe/Berlin", "2026-03-29T01:00"),
    "Berlin, autumn": ("Europe/Berlin", "2026-10-25T01:00"),
    "New York, spring": ("America/New_York", "2026-03-08T07:00"),
    "New York, autumn": ("America/New_York", "2026-11-01T06:00"),
    "Lord Howe, half an hour back": ("Australia/Lord_Howe", "2026-04-04T15:00"),
    "Lord Howe, half an hour ahead": ("Australia/Lord_Howe", "2026-10-03T15:30"),
    "Beirut, at midnight": ("Asia/Beirut", "2026-03-28T22:00"),
    "Beirut, back over midnight": ("Asia/Beirut", "2026-10-24T21:00"),
    "Cairo, at midnight": ("Africa/Cairo", "2026-04-23T22:00"),
    "Cairo, back over midnight": ("Africa/Cairo", "2026-10-29T21:00"),
    "Sao Paulo, midnight is skipped": ("America/Sao_Paulo", "2018-11-04T03:00"),
    "St. John's, back over midnight": ("America/St_Johns", "2006-10-29T02:31"),
    "Troll, two hours": ("Antarctica/Troll", "2026-03-29T01:00"),
    "Apia, a day is skipped": ("Pacific/Apia", "2011-12-30T10:00"),
    "Kwajalein, a day is skipped": ("Pacific/Kwajalein", "1993-08-21T12:00"),
    "Casey, three hours back": ("Antarctica/Casey", "2010-03-04T15:00"),
    "Dublin, standard time in summer": ("Europe/Dublin", "2026-10-25T01:00"),
    "no change": ("Asia/Kolkata", "2026-03-29T01:00"),
}
EXPRESSIONS = (
    "*/20 * * * *",
    "7 * * * *",
    "*/30 2 * * *",
    "0 */2 * * *",
    "30 0 * * *",
    "15 1 * * *",
    "30 2 * * *",
    "0,20,59 0-3,23 * * *",
    "45 23 * * *",
    "0 12 * * *",
)


@cache
def local_times(zone: str, around: datetime) -> list[tuple[datetime, datetime]]:
    """Return each minute of three days, and what a clock in the zone shows then."""
    begin = around - timedelta(days=1, hours=12)
    minutes = [begin + MINUTE * number for number in range(3 * 24 * 60)]
    return [(minute, minute.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for minute in minutes]


def expected(expression: str, clock: list[tuple[datetime, datetime]]) -> list[datetime]:
    """Return the fires, by the rule alone."""
    fields = CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001  # as above
    minute, hour, *_ = expression.split()
    if minute.startswith("*") or hour.startswith("*"):
        return [at for at, wall in clock if wall.minute in fields.minutes and wall.hour in fields.hours]
    days = sorted({wall.date() for _, wall in clock})
    wanted = [
        datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  # what the clock shows
        for day in days
        for hour in sorted(fields.hours)
        for minute in sorted(fields.minutes)
    ]
    fires = [next((at for at, wall in clock if wall >= want), None) for want in wanted]
    return sorted({fire for fire in fires if fire is not None and fire != clock[0][0]})


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize(("zone", "moment"), CHANGES.values(), ids=CHANGES.keys())
def test_a_crontab_follows_the_clock_on_the_wall(zone: str, moment: str, expression: str) -> None:
    clock = local_times(zone, datetime.fromisoformat(moment).replace(tzinfo=UTC))
    fires = expected(expression, clock)
    cron = Cron(expression, zone)
    asked = [fires[0] + timedelta(minutes=67 * number, seconds=29) for number in range(64)]
    near = [fire + timedelta(seconds=seconds) for fire in fires for seconds in (-1, 0, 1)]
    for at in sorted([*asked, *near]):
        if fires[0] <= at <= clock[-1][0]:
            assert cron.latest(at) == fires[bisect_right(fires, at) - 1], at


def test_the_end_of_summer_time_silences_no_interval() -> None:
    cron, at = Cron("*/20 * * * *", "Europe/Berlin"), datetime(2026, 10, 24, 23, tzinfo=UTC)
    fires = {cron.latest(at + MINUTE * number) for number in range(240)}
    assert sorted(fires) == [at + timedelta(minutes=20 * number) for number in range(12)]


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "latest"),
    [
        ("0 0 29 2 *", "Europe/Berlin", "2027-01-01T00:00", "2024-02-28T23:00"),
        ("0 0 29 2 0", "Pacific/Auckland", "2027-01-01T00:00", "2026-02-21T11:00"),
        ("30 2 25 10 *", "Europe/Berlin", "2027-07-01T00:00", "2026-10-25T00:30"),
        ("* 2 25 10 *", "Europe/Berlin", "2027-07-01T00:00", "2026-10-25T01:59"),
        ("* 2 29 3 *", "Europe/Berlin", "2026-07-01T00:00", "2025-03-29T01:59"),
    ],
)
def test_rare_times_are_found(expression: str, zone: str, moment: str, latest: str) -> None:
    found = Cron(expression, zone).latest(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(latest).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("mistaken", "told"),
    [
        ({"cron": "61 * * * *"}, "61"),
        ({"cron": "0 0 31 2 *"}, "0 0 31 2"),
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "* * * * *", "timezone": "Europe/Atlantis"}, "Atlantis"),
        ({"every": timedelta(0)}, "one second"),
        ({}, "one of on, every and cron"),
        ({"cron": "* * * * *", "every": timedelta(1)}, "one of on, every and cron"),
        ({"payload": NoPayload, "timeout": 0}, "timeout"),
        ({"payload": NoPayload, "max_attempts": 0}, "max_attempts"),
    ],
)
def test_a_mistake_is_met_when_the_job_is_declared(mistaken: dict, told: str) -> None:
    with pytest.raises((ValueError, LookupError), match=told):
        JobType("tests.mistaken", **mistaken)


def test_an_interval_begins_with_the_epoch() -> None:
    moment = datetime(2026, 5, 1, 12, 7, 30, tzinfo=UTC)
    assert Every(timedelta(minutes=5)).latest(moment) == datetime(2026, 5, 1, 12, 5, tzinfo=UTC)
