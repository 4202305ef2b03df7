"""Warnings of a loop: one line at once, then at most one a minute, however often the same thing fails."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

QUIET = 60.0
"""Seconds between two lines about the same event."""


@dataclass
class _Told:
    at: float
    since: float
    untold: int = 0
    is_over: bool = False


class RareWarnings:
    """Logs each event at most once a minute. A line's `times` is how often it happened since the line before."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._told: dict[str, _Told] = {}

    def warn(self, event: str, **fields: Any) -> None:
        """Count an event, and log it unless that was done within the last minute."""
        self._tell(self._logger.warning, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Do the same at level error."""
        self._tell(self._logger.error, event, fields)

    def _tell(self, log: Callable[..., None], event: str, fields: Mapping[str, Any]) -> None:
        told, now = self._told.get(event), time.monotonic()
        if told is not None and now - told.at < QUIET:
            told.untold += 1
            return
        times = 1 + (told.untold if told is not None else 0)
        is_new = told is None or told.is_over
        self._told[event] = _Told(at=now, since=now if is_new or told is None else told.since)
        log(event, times=times, **fields)

    def settle(self, event: str, *, then: str, **fields: Any) -> None:
        """Log that what was warned of is over, and after how many seconds, if a line had told of it."""
        told = self._told.get(event)
        if told is not None and not told.is_over:
            told.is_over = True
            self._logger.info(then, seconds=round(time.monotonic() - told.since, 1), **fields)


class BackOff:
    """A pause that doubles with each failure in a row. In seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is time for the next try."""
        return time.monotonic() >= self._until

    def fail(self) -> float:
        """Begin a pause; return how long it is."""
        pause = self._next
        self._until = time.monotonic() + pause
        self._next = min(self._longest, 2 * pause)
        return pause

    def succeed(self) -> None:
        """Begin with the first pause again."""
        self._next, self._until = self._first, 0.0
