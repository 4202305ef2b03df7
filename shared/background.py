"""Loops that run for the life of a process: no exception in a round ends them."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from shared.errors import AppError
from shared.logging import get_logger
from shared.outages import is_about_statement, sqlstate_of
from shared.throttled_warnings import BackOff, ThrottledWarnings

logger = get_logger(__name__)
FIRST_PAUSE = 0.5
"""Seconds until the next round after one that failed; doubled with each further failure, up to `LONGEST_PAUSE`."""

LONGEST_PAUSE = 3.0
"""Longest pause in seconds of a failing loop, so it recovers within this time after the cause is gone."""

ROUND_TIMEOUT = 30.0
"""Seconds that a round may take. One that takes longer is cancelled, and counts as failed."""

STALL_GRACE = 15.0
"""Seconds past the time of the next round after which a loop counts as standing still."""

LOOPS: "dict[str, BackgroundLoop]" = {}
"""Every loop of this program by name, filled when modules are imported."""

_STOPS: "WeakKeyDictionary[asyncio.Task[None], asyncio.Event]" = WeakKeyDictionary()
_FAILED, _ERROR = "background_failed", "background_error"


class BackgroundLoop:
    """A named loop and the outcome of its rounds in this process. Declare it once, at module level.

    `run` and `start` serve loops of coroutines; `begin` serves timers and threads. Failures are logged once a minute:
    `background_failed` with the reason, or `background_error` with a traceback where the exception is none that a
    server which is away or refuses would cause. `expected_errors`: further exceptions that deserve no traceback.
    """

    def __init__(
        self,
        name: str,
        *,
        longest_pause: float = LONGEST_PAUSE,
        round_timeout: float = ROUND_TIMEOUT,
        expected_errors: tuple[type[Exception], ...] = (),
    ) -> None:
        if name in LOOPS:
            message = f"the loop {name} is declared twice"
            raise ValueError(message)
        LOOPS[name] = self
        self.name = name
        self.longest_pause = longest_pause
        self.round_timeout = round_timeout
        self.failures = 0
        self.last_success: float | None = None
        """Seconds since 1970; None: no round has succeeded in this process."""

        self.was_started = False
        self._expected_errors = expected_errors
        self._runs: set[Run] = set()
        self._warnings = ThrottledWarnings(logger)

    @property
    def is_stalled(self) -> bool:
        """Whether a run of this loop has ended no round for longer than any round may take."""
        return any(run.is_stalled for run in self._runs)

    def begin(self, pause: float = 0.0) -> "Run":
        """Begin a run, whose rounds are `pause` seconds apart; `end` it with the loop."""
        run = Run(self, pause)
        self._runs.add(run)
        return run

    def discard(self, run: "Run") -> None:
        """Remove a run that has ended."""
        self._runs.discard(run)

    async def run(
        self,
        work: Callable[[], Awaitable[object]],
        *,
        pause: float,
        delay: float = 0.0,
        stop: asyncio.Event | None = None,
        should_continue: Callable[[], bool] = lambda: True,
    ) -> None:
        """Run `work` every `pause` seconds, first after `delay`, until `stop` is set or `should_continue` is false."""
        run, task = self.begin(pause), asyncio.current_task()

        def ends() -> bool:
            # Libraries may turn a cancellation into an error of their own, which is no reason to go on.
            return (stop is not None and stop.is_set()) or (task is not None and task.cancelling() > 0)

        try:
            await _wait(delay, stop)
            while should_continue() and not ends():
                with run:
                    await self._in_time(work)
                if should_continue() and not ends():
                    await _wait(run.wait, stop)
        finally:
            run.end()

    def start(
        self,
        work: Callable[[], Awaitable[object]],
        *,
        pause: float,
        delay: float = 0.0,
        should_continue: Callable[[], bool] = lambda: True,
    ) -> "asyncio.Task[None]":
        """Run in a task of its own, outside the context of the caller, until `end(task)`.

        Should the task end with an exception, which no round can cause, this process is asked to end.
        """
        stop = asyncio.Event()
        running = self.run(work, pause=pause, delay=delay, stop=stop, should_continue=should_continue)
        task = asyncio.create_task(running, name=f"background {self.name}", context=Context())
        # Weak keys: a task that has ended needs no `end`.
        _STOPS[task] = stop
        task.add_done_callback(self._check_end)
        return task

    def succeed(self) -> None:
        """Record a round that succeeded."""
        self.last_success = time.time()
        for event in (_FAILED, _ERROR):
            self._warnings.resolve(event, then="background_works_again", loop=self.name)

    def fail(self, error: Exception) -> None:
        """Note a round that failed."""
        self.failures += 1
        if isinstance(error, self._expected_errors) or is_expected_error(error):
            self._warnings.warn(_FAILED, loop=self.name, reason=reason_of(error))
        else:
            self._warnings.error(_ERROR, loop=self.name, reason=reason_of(error), exc_info=error)

    async def _in_time(self, work: Callable[[], Awaitable[object]]) -> None:
        limit = asyncio.timeout(self.round_timeout)
        try:
            async with limit:
                await work()
        except TimeoutError as error:
            # Distinguishes this time limit from a TimeoutError that the work raised.
            if limit.expired():
                raise TimeoutError(f"the round took longer than {self.round_timeout:g} s") from error
            raise

    def _check_end(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.critical("background_loop_ended", loop=self.name, exc_info=error)
            # A process without one of its loops would look healthy; its supervisor restarts it.
            os.kill(os.getpid(), signal.SIGTERM)


class Run:
    """A running loop: `with run:` is one round, and suppresses every exception except cancellation."""

    def __init__(self, loop: BackgroundLoop, pause: float = 0.0) -> None:
        loop.was_started = True
        self.failed = False
        """Whether the last round failed."""

        self.wait = 0.0
        """Seconds from the end of the last round to the next."""

        self._loop = loop
        self._pause = pause
        self._back_off = BackOff(min(FIRST_PAUSE, loop.longest_pause), loop.longest_pause)
        self._round_ended_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next round."""
        return time.monotonic() >= self._round_ended_at + self.wait

    @property
    def is_stalled(self) -> bool:
        """Whether no round has ended for longer than any round may take."""
        loop = self._loop
        allowed = max(self.wait, self._pause) + loop.round_timeout + STALL_GRACE
        return time.monotonic() > self._round_ended_at + allowed

    def end(self) -> None:
        """End the run."""
        self._loop.discard(self)

    def __enter__(self) -> Self:
        self.failed = False
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        self._round_ended_at = time.monotonic()
        if error is None:
            self._back_off.succeed()
            self.wait = self._pause
            self._loop.succeed()
            return False
        # CancelledError and KeyboardInterrupt end the loop.
        if not isinstance(error, Exception):
            return False
        self.failed = True
        self.wait = self._back_off.fail()
        self._loop.fail(error)
        return True


async def end(*tasks: "asyncio.Task[None]", seconds: float = 0.25) -> None:
    """End loops that were started: let their rounds end in time, and cancel those that don't.

    A cancelled round may leave a connection half made.
    """
    for task in tasks:
        _STOPS[task].set()
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=seconds)


def stalled_loops() -> Sequence[str]:
    """Return the names of the loops in this process that have stalled."""
    return [loop.name for loop in LOOPS.values() if loop.is_stalled]


def is_expected_error(error: BaseException) -> bool:
    """Whether an error is caused by a server, a disk or a limit, not by a bug in this program."""
    return isinstance(error, AppError | OSError) or not is_about_statement(error)


def reason_of(error: BaseException) -> str:
    """Return class and first line of an error, with PostgreSQL's SQLSTATE; of an `AppError` its code and its cause."""
    orig = getattr(error, "orig", None)  # SQLAlchemy's own text repeats statement and parameters
    told = orig if isinstance(orig, BaseException) else error
    if isinstance(error, AppError) and isinstance(error.__cause__, Exception):
        return f"{error.code}: {reason_of(error.__cause__)}"
    if isinstance(error, AppError):
        return error.code
    state = sqlstate_of(error)
    name = type(told).__name__ if state is None else f"{type(told).__name__} ({state})"
    line = str(told).strip().partition("\n")[0]
    return f"{name}: {line}" if line else name


async def _wait(seconds: float, stop: asyncio.Event | None) -> None:
    if stop is None:
        await asyncio.sleep(seconds)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
