"""Commands of `tulou` as processes of their own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.secrecy import SECRECY


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Program:
    """A running command. Its output goes to a file, to be read when something went wrong."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix="tulou-program-", suffix=".log")  # noqa: SIM115  # closed by stop
        self.process = subprocess.Popen(
            arguments,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

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
        while time.monotonic() < until:
            assert self.is_running, f"ended with {self.process.returncode}:\n{self.output}"
            try:
                if httpx.get(url).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.output)

    def kill(self) -> None:
        """End it and its children at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, *, seconds: float = 20) -> int:
        """Ask it to stop, and end it if it doesn't; return its exit code. Again is fine."""
        if self._log.closed:
            return self.process.wait()
        if self.is_running:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self._signal(signal.SIGKILL)
        code = self.process.wait()
        SECRECY.read(" ".join(self.process.args[3:5]), self.output)
        self._log.close()
        return code

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


def tulou(*arguments: str, environment: Mapping[str, str]) -> Program:
    """Start `tulou` with these arguments."""
    return Program([sys.executable, "-m", "bootstrap.cli", *arguments], environment)
