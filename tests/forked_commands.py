"""Run `tulou` commands in processes that are forked from one that has loaded the program.

Loading takes 1.5 s of CPU each time, a fork next to none. The tests run some hundred commands.
"""

import atexit
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
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
MAIN = PROJECT / "bootstrap/cli/main.py"


def run_command(
    *arguments: str, environment: Mapping[str, str], seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command with exactly this environment, as `subprocess.run` would.

    Raises:
        TimeoutExpired: it did not end in time, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="tulou-command-") as kept, socket.socket(socket.AF_UNIX) as order:
        said, complained = Path(kept) / "stdout", Path(kept) / "stderr"
        order.connect(str(_server()))
        wanted = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": str(Path.cwd()),
            "stdout": str(said),
            "stderr": str(complained),
            "seconds": seconds,
        }
        order.sendall(json.dumps(wanted).encode() + b"\n")
        with order.makefile() as answers:
            code = json.loads(answers.readline())
        if code is None:
            raise subprocess.TimeoutExpired(arguments, seconds)
        return subprocess.CompletedProcess(arguments, code, said.read_text(), complained.read_text())


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
    import bootstrap.cli.backups
    import bootstrap.cli.commands
    import bootstrap.migrations.runner  # noqa: F401  # for the commands
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
    else:
        connection.sendall(json.dumps(_wait(child, wanted["seconds"])).encode() + b"\n")
        os._exit(0)


def _become(wanted: dict[str, Any]) -> None:
    """Give this process the arguments, environment, folder and files of a command."""
    os.setsid()
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.argv = [str(MAIN), *wanted["arguments"]]
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY), (wanted["stdout"], os.O_WRONLY), (wanted["stderr"], os.O_WRONLY)]
    ):
        opened = os.open(name, flags | os.O_CREAT if number else flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)


def _wait(child: int, seconds: float) -> int | None:
    """Return the exit code, or None if the child had to be killed."""
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            return None
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
