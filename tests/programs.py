"""Commands of `tulou` as separate processes."""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.forked_commands import ForkedCommand
from tests.secrecy import SECRECY
from tools.dev.ports import LOOPBACK, is_free


def share_of(ports: range) -> range:
    """Return those of some ports that are this process's alone, where several share the tests."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return ports[number :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


# Below 32768, where Linux begins to hand out ports for outgoing connections; beside those of the embedded servers.
_PORTS = share_of(range(10_000, 20_000))
_PORT_NUMBERS = itertools.count(random.randrange(len(_PORTS)))


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody else of this run is given."""
    ports = (_PORTS[number % len(_PORTS)] for number in _PORT_NUMBERS)
    return next(port for port in ports if is_free(LOOPBACK, port))


TULOU = [sys.executable, "-m", "bootstrap.cli.main"]


class Program:
    """A running command. Its output goes to a file, to be read when something went wrong."""

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], *, folder: Path | None = None
    ) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix="tulou-program-", suffix=".log")  # noqa: SIM115  # closed by stop
        given = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self.process: subprocess.Popen[bytes] | ForkedCommand
        if arguments[: len(TULOU)] == TULOU and folder is None:
            log = Path(self._log.name)
            self.process = ForkedCommand(arguments[len(TULOU) :], given, stdout=log, stderr=log)
        else:
            self.process = subprocess.Popen(
                arguments,
                env=given,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
            )
        self._asked_to_stop = False

    @property
    def output(self) -> str:
        """What it has said so far."""
        return Path(self._log.name).read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether it hasn't ended."""
        return self.process.poll() is None

    def wait_for(self, text: str, *, seconds: float = 30) -> None:
        """Wait until it has said `text`."""
        until = time.monotonic() + seconds
        while text not in self.output:
            assert self.is_running, f"ended with {self.process.returncode}:\n{self.output}"
            assert time.monotonic() < until, f"never said {text!r}:\n{self.output}"
            time.sleep(0.05)

    def wait_until_it_answers(self, url: str, *, seconds: float = 30) -> None:
        """Wait until `GET url` is answered with 200."""
        until = time.monotonic() + seconds
        with httpx.Client() as client:
            while time.monotonic() < until:
                assert self.is_running, f"ended with {self.process.returncode}:\n{self.output}"
                with contextlib.suppress(httpx.TransportError):
                    if client.get(url).status_code == httpx.codes.OK:
                        return
                time.sleep(0.05)
        raise AssertionError(self.output)

    def kill(self) -> None:
        """End it and its children at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def ask_to_stop(self) -> None:
        """Ask it to stop, once, and don't wait."""
        if self.is_running and not self._asked_to_stop:
            self._asked_to_stop = True
            self.process.terminate()

    def stop(self, *, seconds: float = 20) -> int:
        """Ask it to stop, and end it if it doesn't; return its exit code. Again is fine."""
        if self._log.closed:
            return self.process.wait()
        if self.is_running:
            self.ask_to_stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self._signal(signal.SIGKILL)
        code = self.process.wait()
        if code == -signal.SIGKILL:
            sys.stdout.write(f"killed, {seconds} s after SIGTERM; its last output:\n{self.output[-4000:]}\n")
        SECRECY.read(" ".join(self.process.args[3:5]), self.output)
        self._log.close()
        return code

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


def tulou(*arguments: str, environment: Mapping[str, str], folder: Path | None = None) -> Program:
    """Start `tulou` with these arguments: this version's, or that of another checkout's folder."""
    return Program([*TULOU, *arguments], environment, folder=folder)


def stop_all(programs: Sequence[Program]) -> None:
    """Stop programs, in the time that the slowest of them takes."""
    for program in programs:
        program.ask_to_stop()
    for program in programs:
        program.stop()
