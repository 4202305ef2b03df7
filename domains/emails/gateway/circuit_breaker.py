"""A circuit breaker: after a failed connection no other is tried for a while, twice as long each time."""

import time
from collections.abc import Callable
from datetime import timedelta

_FIRST_PAUSE = 2.0


class CircuitBreaker:
    """Counts failed connections. `longest` is the longest pause in seconds, `now` a clock in seconds.

    A pause ends when the clock shows a multiple of it, in every process, so that all mails are due at the same time and
    the oldest is sent first.
    """

    def __init__(self, *, longest: float, now: Callable[[], float] = time.time) -> None:
        self._longest = longest
        self._now = now
        self._failures = 0
        self._until = 0.0

    def pause(self) -> timedelta:
        """Return how long to wait; zero if there is no outage, or if it is time to try again."""
        return timedelta(seconds=min(self._longest, max(0.0, self._until - self._now())))

    def record_failure(self) -> None:
        """Record a failed connection. Failures during a pause began before it and don't count."""
        if self.pause():
            return
        pause = min(self._longest, _FIRST_PAUSE * 2 ** min(self._failures, 16))
        self._failures += 1
        self._until = (self._now() // pause + 1) * pause

    def record_success(self) -> None:
        """Record a connection: the outage is over."""
        self._failures = 0
        self._until = 0.0
