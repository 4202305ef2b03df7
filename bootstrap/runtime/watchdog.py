"""Ends a frozen process, so that Docker, systemd or Kubernetes restarts it."""

import faulthandler
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from functools import partial

_PAUSE = 1.0
"""Seconds between two beats, or a quarter of the watchdog's time if that is less."""


class Watchdog:
    """Ends this process, with exit code 1 and the stacks of all threads on standard error, `seconds` after a beat.

    Each beat begins a new term. Time is kept by a thread that needs neither the event loop nor the interpreter's lock
    (`faulthandler`). A fork does not copy that thread, so a forked child must not use the watchdog of its parent.
    With 0 seconds only `end_within` ends the process.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pause = min(_PAUSE, seconds / 4)
        self._next = 0.0
        self._is_ending = False

    def beat(self) -> None:
        """Restart the timer, at most once a second, so that every iteration of a loop may call it."""
        now = time.monotonic()
        if self._seconds and not self._is_ending and now >= self._next:
            self._next = now + self._pause
            self._arm(self._seconds)

    def follow(self, loop: AbstractEventLoop, *, works: Callable[[], bool] = lambda: True) -> None:
        """Beat for as long as the event loop runs and `works` says so."""
        if self._seconds and not self._is_ending:
            if works():
                self.beat()
            loop.call_later(self._pause, partial(self.follow, loop, works=works))

    def end_within(self, seconds: float) -> None:
        """End the process after this time in any case, because it is stopping."""
        self._is_ending = True
        self._arm(seconds)

    def disarm(self) -> None:
        """Disarm the watchdog."""
        self._is_ending = True
        faulthandler.cancel_dump_traceback_later()

    def _arm(self, seconds: float) -> None:
        with suppress(RuntimeError):  # no thread can be started now: the next beat tries again
            faulthandler.dump_traceback_later(seconds, exit=True)
