"""Run the processes of the system side by side: start them in order, restart what crashes, stop them in two groups."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from types import FrameType

from tools.dev.processes import kill_group, spawn

OWN_NAME = "tulou"
COLOURS = (36, 33, 32, 35, 31, 34)
"""ANSI codes."""

GRACE_SECONDS = 8.0
"""An idle worker needs one, half of which Celery waits for tasks to take back; several times that on a busy machine."""

GRACE_LAST_SECONDS = 1.0
# A part that ran for less than this has failed to start.
SETTLED_SECONDS = 10.0
MAX_FAILURES = 5
TICK_SECONDS = 0.1
MAX_EVENTS_A_TICK = 200
COMMAND_FAILED = 127
"""Exit code of a part that could not be started, as in a shell."""


@dataclass
class Part:
    """One child process of the system, and its state. It is started when the part named `after` is ready.

    A part that runs `once` is ready when it ended with 0; one with a `probe` when that returns True; any
    other when it has started. `on_ready` is called the first time. A part that is `last` stops after the others.
    """

    name: str
    command: Sequence[str]
    _: KW_ONLY
    after: str | None = None
    once: bool = False
    probe: Callable[[], bool] | None = None
    on_ready: Callable[[], None] | None = None
    last: bool = False

    is_ready: bool = False
    child: subprocess.Popen[bytes] | None = None
    started_at: float | None = None
    start_again_at: float = 0.0
    failures: int = 0
    is_asked_to_stop: bool = False
    is_killed: bool = False

    @property
    def is_running(self) -> bool:
        """Whether it was started and its end has not been seen."""
        return self.started_at is not None


class Printer:
    """Prints lines of several processes to one terminal, each with the time and a coloured name."""

    def __init__(self) -> None:
        self.width = len("worker-default")
        self._codes: dict[str, int] = {}

    def write(self, name: str, text: str) -> None:
        """Print a text, which may have several lines."""
        start = f"{time.strftime('%H:%M:%S')} {name:<{self.width}} |"
        if name != OWN_NAME and sys.stdout.isatty():
            code = self._codes.setdefault(name, COLOURS[len(self._codes) % len(COLOURS)])
            start = f"\033[{code}m{start}\033[0m"
        for line in text.splitlines():
            print(start, line, flush=True)  # noqa: T201  # the stream of `tulou dev`


class Manager:
    """Runs parts until it is asked to stop or one of them cannot be kept alive."""

    def __init__(self) -> None:
        self.failed = False
        self.environment: Mapping[str, str] = os.environ
        self._printer = Printer()
        # Filled by the threads that read the output: a line of a part or service, or a part's exit code.
        self._events: queue.Queue[tuple[str, bytes | int]] = queue.Queue()
        self._parts: dict[str, Part] = {}
        self._stop_asked = False
        self._waves: list[list[Part]] | None = None
        self._wave: list[Part] = []
        self._wave_deadline = 0.0

    def add(self, part: Part) -> None:
        """Add a part; `loop` starts it."""
        self._parts[part.name] = part

    def say(self, text: str) -> None:
        """Print a line of the manager itself."""
        self._printer.write(OWN_NAME, text)

    def log(self, name: str) -> Callable[[bytes], None]:
        """Return a function that prints a line of `name`, a service outside the parts."""
        return lambda line: self._events.put((name, line))

    def fail(self, reason: str) -> None:
        """Stop everything because of `reason`; may be called from any thread."""
        self.failed = self._stop_asked = True
        self._events.put((OWN_NAME, reason.encode()))

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Stop on SIGINT, SIGTERM or SIGHUP; on a second one without waiting."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        # Under nohup it is ignored, and must stay so.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = [signal.signal(number, self._on_signal) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def loop(self) -> None:
        """Run until every part has stopped, after a signal or a failure."""
        try:
            while not self._is_over():
                self._handle_events()
                self._advance()
        finally:
            # Also when standard output is gone, as with a closed terminal.
            for part in self._parts.values():
                if part.child is not None:
                    kill_group(part.child.pid)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as Python calls it
        if self._stop_asked:
            self._wave_deadline = 0.0
        self._stop_asked = True

    def _is_over(self) -> bool:
        stopping = self._waves is not None
        is_any_running = any(part.is_running for part in self._parts.values())
        return stopping and not self._waves and self._events.empty() and not is_any_running

    def _handle_events(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._handle(*self._events.get(timeout=TICK_SECONDS))
            # A flood of lines must not keep the loop from looking after the parts.
            for _ in range(MAX_EVENTS_A_TICK):
                self._handle(*self._events.get_nowait())

    def _handle(self, name: str, event: bytes | int) -> None:
        if isinstance(event, bytes):
            self._printer.write(name, event.decode(errors="replace"))
        else:
            self._on_exit(self._parts[name], event)

    def _advance(self) -> None:
        if self._stop_asked:
            self._advance_stop()
            return
        for part in self._parts.values():
            if self._is_due(part):
                self._start(part)
            if (
                part.is_running
                and not part.is_ready
                and not part.once
                and (part.probe is None or part.probe())
            ):
                self._set_ready(part)
        self._sweep()

    def _is_due(self, part: Part) -> bool:
        if part.is_running or (part.once and part.is_ready) or time.monotonic() < part.start_again_at:
            return False
        return part.after is None or self._parts[part.after].is_ready

    def _start(self, part: Part) -> None:
        part.started_at = time.monotonic()
        threading.Thread(target=self._run, args=(part,), daemon=True, name=part.name).start()

    def _run(self, part: Part) -> None:
        try:
            part.child = spawn(part.command, stdin=subprocess.DEVNULL, env=dict(self.environment))
            for line in part.child.stdout or ():
                self._events.put((part.name, line))
            code = part.child.wait()
        except Exception as error:  # noqa: BLE001  # without an exit code the manager would wait for it forever
            self._events.put((part.name, f"{type(error).__name__}: {error}".encode()))
            code = COMMAND_FAILED
        self._events.put((part.name, code))

    def _set_ready(self, part: Part) -> None:
        part.is_ready = True
        on_ready, part.on_ready = part.on_ready, None
        if on_ready is not None:
            on_ready()

    def _on_exit(self, part: Part, code: int) -> None:
        lived = time.monotonic() - (part.started_at or 0.0)
        part.started_at = part.child = None
        if self._stop_asked:
            return
        if part.once and code == 0:
            self._set_ready(part)
        elif part.once:
            self.fail(f"{part.name} failed ({_describe(code)}); the lines above say why. Everything stops.")
        else:
            self._start_again_later(part, code, lived)

    def _start_again_later(self, part: Part, code: int, lived: float) -> None:
        part.failures = 1 if lived > SETTLED_SECONDS else part.failures + 1
        # One that was never ready and exited by itself would fail again.
        if part.failures >= MAX_FAILURES or (not part.is_ready and code > 0):
            self.fail(
                f"{part.name} does not stay up ({_describe(code)}); the lines above say why. "
                "Everything stops."
            )
            return
        delay = 2 ** (part.failures - 1)
        part.start_again_at = time.monotonic() + delay
        self.say(f"{part.name} ended ({_describe(code)}) and starts again in {delay} s")

    def _advance_stop(self) -> None:
        if self._waves is None:
            self.say("stopping")
            parts = self._parts.values()
            self._waves = [[part for part in parts if not part.last], [part for part in parts if part.last]]
        if not any(part.is_running for part in self._wave):
            self._wave = self._waves.pop(0) if self._waves else []
            self._wave_deadline = time.monotonic() + (GRACE_SECONDS if self._waves else GRACE_LAST_SECONDS)
        for part in self._wave:
            self._stop(part)
        self._sweep()

    def _stop(self, part: Part) -> None:
        if part.child is None:
            return
        if not part.is_asked_to_stop:
            part.is_asked_to_stop = True
            # The leader alone: it knows how to stop its own children.
            part.child.terminate()
        elif time.monotonic() > self._wave_deadline and not part.is_killed:
            part.is_killed = True
            self.say(f"{part.name} did not stop in time and is killed")
            kill_group(part.child.pid)

    def _sweep(self) -> None:
        """Kill the children of a part that has ended; they would also keep its output open."""
        for part in self._parts.values():
            if part.child is not None and part.child.poll() is not None:
                kill_group(part.child.pid)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
