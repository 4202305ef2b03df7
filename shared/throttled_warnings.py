"""Throttled warnings: the first at once, then at most one a minute for each event."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LOG_INTERVAL = 60.0
"""Seconds between two lines about the same event."""


@dataclass
class _EventState:
    at: float
    since: float
    suppressed: int = 0
    is_over: bool = False


class ThrottledWarnings:
    """Logs each event at most once a minute. A line's `times` is how often it happened since the line before."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._states: dict[str, _EventState] = {}

    def warn(self, event: str, **fields: Any) -> None:
        """Count an event, and log it unless that was done within the last minute."""
        self._log(self._logger.warning, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Do the same at level error."""
        self._log(self._logger.error, event, fields)

    def _log(self, log: Callable[..., None], event: str, fields: Mapping[str, Any]) -> None:
        state, now = self._states.get(event), time.monotonic()
        if state is not None and now - state.at < LOG_INTERVAL:
            state.suppressed += 1
            return
        times = 1 + (state.suppressed if state is not None else 0)
        is_new = state is None or state.is_over
        self._states[event] = _EventState(at=now, since=now if is_new or state is None else state.since)
        log(event, times=times, **fields)

    def resolve(self, event: str, *, then: str, **fields: Any) -> None:
        """If `event` was logged, log `then` with the seconds that it lasted."""
        state = self._states.get(event)
        if state is not None and not state.is_over:
            state.is_over = True
            self._logger.info(then, seconds=round(time.monotonic() - state.since, 1), **fields)


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
