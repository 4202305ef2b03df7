"""Dates in header fields (RFC 9110, section 5.6.7)."""

import re
from datetime import UTC, datetime, timedelta

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS = tuple(
    re.compile(form)
    for form in (
        f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",  # IMF-fixdate
        f"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",  # rfc850-date
        f"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",  # asctime-date
    )
)
_SHORT_YEAR, _CENTURY, _FUTURE = 2, 100, 50
_LEAP_SECOND = ("23", "59", "60")


def read_date(text: str | None) -> datetime | None:
    """Return the time of an HTTP-date in UTC; None if it is missing or invalid, so that the field is ignored.

    The three formats of the RFC are read. A day's name is not compared with its date. A leap second is read as the
    second after it, which is how POSIX counts.
    """
    if text is None:
        return None
    found = next((match for form in _FORMS if (match := form.fullmatch(text.strip(" \t")))), None)
    if found is None:
        return None
    hour, minute, second = found["hour"], found["minute"], found["second"]
    is_leap = (hour, minute, second) == _LEAP_SECOND
    try:
        moment = datetime(
            _year(found["year"]),
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(hour),
            int(minute),
            int(second) - is_leap,
            tzinfo=UTC,
        )
        return moment + timedelta(seconds=1) if is_leap else moment
    except (ValueError, OverflowError):
        return None


def _year(digits: str) -> int:
    """Return the year of four or two digits. Two digits more than 50 years ahead mean the previous century."""
    if len(digits) != _SHORT_YEAR:
        return int(digits)
    now = datetime.now(UTC).year
    year = now - now % _CENTURY + int(digits)
    return year - _CENTURY if year > now + _FUTURE else year
