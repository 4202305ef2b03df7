"""Run `tulou` commands in processes that are forked from one that has loaded the program.

Loading takes 1.5 s of CPU each time, a fork next to none. The tests run some hundred commands.
"""

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
MAIN = PROJECT / "bootstrap/cli/main.py"
ANSWER = 12
"""Bytes of a process id or an exit code."""


def run_command(
    *arguments: str, environment: Mapping[str, str], seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command with exactly this environment, as `subprocess.run` would.

    Raises:
        TimeoutExpired: it did not end in time, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="tulou-command-") as kept:
        said, complained = Path(kept) / "stdout", Path(kept) / "stderr"
        process = ForkedCommand(arguments, environment, stdout=said, stderr=complained)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return subprocess.CompletedProcess(arguments, code, said.read_text(), complained.read_text())


class ForkedCommand:
    """A command that runs, with those parts of `subprocess.Popen` that tests use. It leads a session of its own."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, stdout: Path, stderr: Path
    ) -> None:
        self.args = [sys.executable, "-m", "bootstrap.cli.main", *arguments]
        self.returncode: int | None = None
        self._order = socket.socket(socket.AF_UNIX)
        self._order.connect(str(_server()))
        wanted = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(Path.cwd()),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        self._order.sendall(json.dumps(wanted).encode() + b"\n")
        self.pid = int(self._order.recv(ANSWER))

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._order], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int(self._order.recv(ANSWER))
            self._order.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


@functools.cache
def _server() -> Path:
    """Start the process that forks, until its input is closed; return its socket."""
    folder = Path(tempfile.mkdtemp(prefix="tulou-forks-"))
    command = [sys.executable, "-m", "tests.forked_commands", str(folder / "socket")]
    reading, kept_open = os.pipe()
    server = subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE, cwd=PROJECT)
    os.close(reading)
    assert server.stdout is not None
    with server.stdout as said:
        assert said.readline() == b"ready\n"

    def stop() -> None:
        os.close(kept_open)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    return folder / "socket"


def main(path: str) -> None:
    """Load the program, then fork for each order until standard input is closed."""
    os.environ["REMAP_SIGTERM"] = "SIGQUIT"  # as `tulou worker` sets it, before it loads Celery
    import bootstrap.api.server
    import bootstrap.cli.backups
    import bootstrap.cli.commands
    import bootstrap.migrations.runner
    import bootstrap.relay
    import bootstrap.worker  # noqa: F401  # for the commands
    from bootstrap.cli.main import main as command

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(16)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listening.accept()
            if os.fork() == 0:
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile() as orders:
        wanted = json.loads(orders.readline())
    child = os.fork()
    if child == 0:
        connection.close()
        _become(wanted)
        command()
        return
    connection.sendall(b"%0*d" % (ANSWER, child))
    _, status = os.waitpid(child, 0)
    connection.sendall(b"%0*d" % (ANSWER, os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(wanted: dict[str, Any]) -> None:
    """Give this process the arguments, environment, folder and files of a command."""
    os.setsid()
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.argv = [str(MAIN), *wanted["arguments"]]
    writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    places = [(os.devnull, os.O_RDONLY), (wanted["stdout"], writing), (wanted["stderr"], writing)]
    for number, (name, flags) in enumerate(places):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text file


if __name__ == "__main__":
    main(sys.argv[1])
