"""A breaker: a mail server that is away is left alone for a while, longer each time."""

import time
from datetime import timedelta

_FIRST_PAUSE = 2.0


class Outage:
    """Knows how long to wait for a server; `longest` is in seconds."""

    def __init__(self, *, longest: float) -> None:
        self._longest = longest
        self._failures = 0
        self._until = 0.0

    def pause(self) -> timedelta:
        """Return how long to wait from now on; zero when there is no outage, or when it's time to try again."""
        return timedelta(seconds=max(0.0, self._until - time.monotonic()))

    def met(self) -> None:
        """Note that the server could not be reached."""
        pause = min(self._longest, _FIRST_PAUSE * 2 ** min(self._failures, 16))
        self._failures += 1
        self._until = time.monotonic() + pause

    def over(self) -> None:
        """Note that the server let us in."""
        self._failures = 0
        self._until = 0.0
