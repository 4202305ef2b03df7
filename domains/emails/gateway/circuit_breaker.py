"""A breaker: a mail server that is away is left alone for a while, longer each time."""

import time
from collections.abc import Callable
from datetime import timedelta

_FIRST_PAUSE = 2.0


class CircuitBreaker:
    """Knows how long to wait for a server; `longest` is in seconds, and so is what `now` returns.

    A pause ends when the clock shows a multiple of it, in every process: so all mails are due at the same moment, and
    the oldest goes first.
    """

    def __init__(self, *, longest: float, now: Callable[[], float] = time.time) -> None:
        self._longest = longest
        self._now = now
        self._failures = 0
        self._until = 0.0

    def pause(self) -> timedelta:
        """Return how long to wait from now on; zero when there is no outage, or when it's time to try again."""
        return timedelta(seconds=min(self._longest, max(0.0, self._until - self._now())))

    def record_failure(self) -> None:
        """Note that the server could not be reached. Mails that were under way when that was known say nothing new."""
        if self.pause():
            return
        pause = min(self._longest, _FIRST_PAUSE * 2 ** min(self._failures, 16))
        self._failures += 1
        self._until = (self._now() // pause + 1) * pause

    def record_success(self) -> None:
        """Note that the server let us in."""
        self._failures = 0
        self._until = 0.0
