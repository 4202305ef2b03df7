"""Programs under test as processes of their own, that can be killed, stopped, put to sleep and woken."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tools.dev.processes import _follow_parent, kill_group

MEGABYTE = 1 << 20


class Child:
    """One program. It leads a process group, to which its own children belong; its output goes to a file."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        inside: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        """Run a module's arguments, `inside` a command that becomes it (unshare), in the checkout at `folder`."""
        self._folder = folder
        self.name = name
        self._arguments = [*inside, sys.executable, "-m", *arguments]
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0

    def start(self) -> None:
        """Start it. What it says comes after what an earlier start has said."""
        with self._log.open("ab") as log:
            self._began_at = log.tell()
            self._process = subprocess.Popen(
                self._arguments,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._folder,
                # It never outlives this process, whatever ends it.
                preexec_fn=_follow_parent(signal.SIGKILL),  # noqa: PLW1509  # one system call
            )

    @property
    def pid(self) -> int:
        """The leader's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended, None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def output(self) -> str:
        """What it has said since it was last started."""
        with self._log.open("rb") as log:
            log.seek(self._began_at)
            return log.read().decode(errors="replace")

    def family(self) -> list[psutil.Process]:
        """Return its children, theirs included."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def memory(self) -> float:
        """Return the memory that it and its children have for themselves, in MiB."""
        total = 0
        for process in [psutil.Process(self.pid), *self.family()]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().uss
        return total / MEGABYTE

    async def until_it_says(self, text: str, *, seconds: float = 40) -> None:
        """Wait for a word in its output."""
        await until(
            lambda: text in self._living_output(), seconds=seconds, what=f"{self.name} to say {text!r}"
        )

    def _living_output(self) -> str:
        if self.code is not None:
            raise AssertionError(f"{self.name} ended with {self.code}:\n{self.output[-3000:]}")
        return self.output

    def signal(self, number: int) -> None:
        """Send a signal to it and all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self, *, with_children: bool = True) -> None:
        """End it at once; `with_children=False` leaves them orphans for a moment."""
        assert self._process is not None
        if with_children:
            self.signal(signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    async def stop(self, *, seconds: float = 60) -> float:
        """Ask it to end; return how many seconds it took. Kills it, and raises, when it takes too long."""
        assert self._process is not None
        asked_at = time.monotonic()
        self._process.terminate()
        try:
            await until(
                lambda: self.code is not None, seconds=seconds, what=f"{self.name} to end", pause=0.02
            )
        finally:
            kill_group(self.pid)
        return time.monotonic() - asked_at


async def until(holds: Callable[[], object], *, seconds: float, what: str, pause: float = 0.05) -> None:
    """Wait until something holds."""
    limit = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > limit:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        await asyncio.sleep(pause)


def with_small_disk(folder: Path, size: int) -> list[str]:
    """Return a command that gives the program after it a disk of so many bytes at `folder`, seen by it alone."""
    alone = (
        ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    )
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    return [*alone, "sh", "-c", mount, str(folder)]
