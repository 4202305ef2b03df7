"""Failing loops log a warning once a minute."""

import pytest
from structlog.testing import capture_logs

from shared import throttled_warnings
from shared.logging import get_logger
from shared.throttled_warnings import BackOff, ThrottledWarnings


class Clock:
    now = 1000.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(throttled_warnings, "time", Clock())
    return Clock()


def test_a_warning_is_logged_once_a_minute_with_its_number(clock: Clock) -> None:
    warnings = ThrottledWarnings(get_logger("test"))
    with capture_logs() as logs:
        for _ in range(300):
            warnings.warn("it_failed", error="WRONGTYPE")
            Clock.now += 1
    assert [line["times"] for line in logs] == [1, 60, 60, 60, 60]


def test_the_end_is_told_once_also_where_failures_come_and_go(clock: Clock) -> None:
    warnings = ThrottledWarnings(get_logger("test"))
    with capture_logs() as logs:
        for _ in range(30):
            warnings.warn("it_failed")
            warnings.resolve("it_failed", then="it_works")
            Clock.now += 1
    assert [line["event"] for line in logs] == ["it_failed", "it_works"]


def test_a_pause_grows_and_begins_anew(clock: Clock) -> None:
    pause = BackOff(1, 5)
    assert [pause.fail() for _ in range(4)] == [1, 2, 4, 5]
    assert not pause.is_over
    Clock.now += 5
    assert pause.is_over
    pause.succeed()
    assert pause.fail() == 1
