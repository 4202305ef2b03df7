"""Runs the parts of the system side by side, in order, and stops them in two steps.

Each starts when the one before it is ready; what crashes starts again.
honcho's manager ends everything when one part ends, starts everything at once, and kills after five seconds;
its printer, its processes and its events are what we keep.
"""

import contextlib
import datetime as dt
import functools
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from honcho.manager import Manager
from honcho.printer import Message
from honcho.process import Process

from tools.dev.processes import kill_group, spawn

OWN_NAME = "tulou"
GRACE_SECONDS = 8.0
"""For an idle worker one, half of which Celery waits for tasks to take back; several times that on a busy machine."""

GRACE_LAST_SECONDS = 1.0
# A part that lived shorter than this has failed to start.
SETTLED_SECONDS = 10.0
MAX_FAILURES = 5
TICK_SECONDS = 0.1
MAX_EVENTS_A_TICK = 200


@dataclass
class Part:
    """One child process of the system, and what has become of it."""

    name: str
    after: str | None
    once: bool
    probe: Callable[[], bool] | None
    on_ready: Callable[[], None] | None
    last: bool

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


class DevelopmentManager(Manager):  # type: ignore[misc]  # honcho has no types
    """Runs parts until it is asked to stop or one of them cannot be kept alive."""

    def __init__(self) -> None:
        super().__init__()
        self._printer.width = len("worker-default")
        # Threads of ours feed it, not processes.
        self.events: queue.Queue[Message] = queue.Queue()
        self.failed = False
        self.environment: Mapping[str, str] = os.environ
        self._parts: dict[str, Part] = {}
        self._stop_asked = False
        self._waves: list[list[Part]] | None = None
        self._wave: list[Part] = []
        self._wave_deadline = 0.0

    def add(
        self,
        name: str,
        command: Sequence[str],
        *,
        after: str | None = None,
        once: bool = False,
        probe: Callable[[], bool] | None = None,
        on_ready: Callable[[], None] | None = None,
        last: bool = False,
    ) -> None:
        """Add a part, started when the part named `after` is ready.

        A part that runs `once` is ready when it ended well; one with a `probe` when that returns True; any
        other when it has started. `on_ready` is called the first time. What is `last` stops after the others.
        """
        part = Part(name, after=after, once=once, probe=probe, on_ready=on_ready, last=last)
        self._parts[name] = part
        process = self.add_process(name, command, env=dict(self.environment))
        # honcho has no other way to choose how a child is started.
        process._child_ctor = functools.partial(_spawn_part, part)  # noqa: SLF001

    def say(self, text: str) -> None:
        """Print a line of our own into the stream."""
        self._printer.write(_line(OWN_NAME, text))

    def log(self, name: str) -> Callable[[bytes], None]:
        """Return a function that puts a line of `name`, a service that is no part, into the stream."""
        self._printer.width = max(self._printer.width, len(name))
        return lambda data: self.events.put(_line(name, data))

    def fail(self, reason: str) -> None:
        """Stop everything because of `reason`; may be called from any thread."""
        self.failed = self._stop_asked = True
        self.events.put(_line(OWN_NAME, reason))

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGINT, SIGTERM and SIGHUP as the wish to stop; a second one no longer waits."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        # nohup has it ignored, and means it.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = [signal.signal(number, self._on_signal) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def loop(self) -> None:
        """Run until every part has stopped after a wish to stop or a failure."""
        try:
            while not self._is_over():
                self._handle_events()
                self._advance()
        finally:
            # Also when our own output is gone, say with its terminal.
            for part in self._parts.values():
                if part.child is not None:
                    kill_group(part.child.pid)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as Python calls it
        if self._stop_asked:
            self._wave_deadline = 0.0
        self._stop_asked = True

    def _is_over(self) -> bool:
        stopping = self._waves is not None
        return stopping and not self._waves and self.events.empty() and not self._is_any_running()

    def _is_any_running(self) -> bool:
        return any(part.is_running for part in self._parts.values())

    def _handle_events(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._handle(self.events.get(timeout=TICK_SECONDS))
            # A flood of lines must not keep us from looking after the parts.
            for _ in range(MAX_EVENTS_A_TICK):
                self._handle(self.events.get_nowait())

    def _handle(self, message: Message) -> None:
        if message.type == "line":
            self._printer.write(message)
        elif message.type == "stop":
            self._on_stop(self._parts[message.name], message.data["returncode"])

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
        process = self._processes[part.name]["obj"]
        threading.Thread(
            target=_run_process, args=(process, self.events), daemon=True, name=part.name
        ).start()

    def _set_ready(self, part: Part) -> None:
        part.is_ready = True
        on_ready, part.on_ready = part.on_ready, None
        if on_ready is not None:
            on_ready()

    def _on_stop(self, part: Part, code: int) -> None:
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
        # What has never been ready and ended by its own will is not going to change its mind.
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
        """End what a part that is gone has left behind, which would also hold its output open."""
        for part in self._parts.values():
            if part.child is not None and part.child.poll() is not None:
                kill_group(part.child.pid)


def _spawn_part(part: Part, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    part.child = spawn(command, stdin=subprocess.DEVNULL, **options)
    return part.child


def _run_process(process: Process, events: "queue.Queue[Message]") -> None:
    try:
        process.run(events)
    except Exception as error:  # noqa: BLE001  # whatever it is, the part has ended, and is started again
        events.put(_line(process.name, f"{type(error).__name__}: {error}"))
        events.put(
            Message(type="stop", data={"returncode": 127}, time=_now(), name=process.name, colour=None)
        )


def _line(name: str, data: str | bytes) -> Message:
    return Message(type="line", data=data, time=_now(), name=name, colour=None)


def _now() -> dt.datetime:
    return dt.datetime.now().astimezone()


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
