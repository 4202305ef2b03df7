"""Dates in header fields (RFC 9110, section 5.6.7)."""

from datetime import UTC, datetime

import pytest

from shared.http.dates import read_date

SAME = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT\t",
    ],
)
def test_the_three_formats_are_read(text: str) -> None:
    assert read_date(text) == SAME


def test_two_digits_of_a_year_lie_at_most_fifty_years_ahead() -> None:
    now = datetime.now(UTC).year
    near, far = (now + 50) % 100, (now + 51) % 100
    assert read_date(f"Monday, 01-Mar-{near:02} 00:00:00 GMT") == datetime(now + 50, 3, 1, tzinfo=UTC)
    assert read_date(f"Monday, 01-Mar-{far:02} 00:00:00 GMT") == datetime(now - 49, 3, 1, tzinfo=UTC)


def test_a_leap_second_is_the_second_after_it() -> None:
    assert read_date("Sat, 31 Dec 2016 23:59:60 GMT") == datetime(2017, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "yesterday",
        "Mon, 20 Nov 9999999999 12:00:00 GMT",
        "Mon, 20 Nov 0000 12:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:60 GMT",
        "Mon, 31 Feb 2026 12:00:00 GMT",
        "Mon, 00 Feb 2026 12:00:00 GMT",
        "Sun, 29 Feb 2026 12:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov \u0661\u0669\u0669\u0664 08:49:37 GMT",
        "Sun, 06 Nov 19\xb94 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\x00",
        "9" * 5000,
        "1994-11-06T08:49:37Z",
        "784111777",
    ],
)
def test_everything_else_is_no_date(text: str | None) -> None:
    assert read_date(text) is None
