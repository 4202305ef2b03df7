"""`tulou dev` with doubles of its parts and real services behind them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

# Each part says hello. The API answers; a worker of `mail` refuses to stop; all others wait.
STAND_IN = """
import http.server, os, signal, sys, time
print("hello from", " ".join(sys.argv[1:]), "DATABASE_URL" in os.environ, flush=True)
match sys.argv[1]:
    case "migrate":
        sys.exit(int(os.environ.get("STAND_IN_MIGRATE", "0")))
    case "serve" if "STAND_IN_SERVE" in os.environ:
        sys.exit(int(os.environ["STAND_IN_SERVE"]))
    case "serve":
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
        http.server.HTTPServer(("127.0.0.1", int(os.environ["TULOU_PORT"])), Handler).serve_forever()
    case "worker" if sys.argv[-1] == "mail":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
"""

RUN = """
import sys
from pathlib import Path
from types import SimpleNamespace
from tools.dev import supervisor
supervisor._tulou = lambda *arguments: [sys.executable, sys.argv[3], *arguments]
sys.exit(supervisor.run(SimpleNamespace(
    data_dir=Path(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]),
    database_url=None, redis_url=None, emails_smtp_url=None,
), servers_only="SERVERS_ONLY" in __import__("os").environ))
"""


class Terminal:
    """A run of `tulou dev` whose output goes to a file."""

    def __init__(self, root: Path, *, port: int, **environment: str) -> None:
        self.output = root / f"output-{time.monotonic_ns()}"
        (root / "part.py").write_text(STAND_IN)
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(root / "data"), str(port), str(root / "part.py")],
                cwd=PROJECT,
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, text: str, *, seconds: float = 30) -> None:
        wait_until(lambda: text in self.output.read_text(), seconds, self.output.read_text)

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Return the exit code and how long the stop took, in seconds."""
        begun = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(15)
        return code, time.monotonic() - begun


def wait_until(is_true: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            pytest.fail(explain())
        time.sleep(0.05)


def processes_of(root: Path) -> list[int]:
    """Return the living processes whose command line names `root`, other than zombies."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and folder.name != str(os.getpid()):
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(root.name) in command:
                found.append(int(folder.name))
    return found


@pytest.fixture
def root() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tulou dev "))
    yield folder
    data = folder / "data" / "postgres"
    shutil.rmtree(data.resolve(), ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.timeout(120)
def test_the_servers_alone_are_there_for_whoever_starts_the_rest_by_hand(root: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):  # where a debugger runs the API already
        terminal = Terminal(root, port=port, SERVERS_ONLY="1")
        terminal.wait_for("The servers run")
    terminal.wait_for("  database  postgresql://")
    services = (root / "data/services.env").read_text()
    assert all(
        name in services for name in ("DATABASE_URL", "TULOU_DATABASE_OWNER_URL", "REDIS_URL", "SMTP_URL")
    )
    assert terminal.stop(signal.SIGINT)[0] == 0
    assert "hello from" not in terminal.output.read_text()


@pytest.mark.timeout(120)
def test_everything_starts_survives_a_crash_and_stops(root: Path, port: int) -> None:
    terminal = Terminal(root, port=port)
    terminal.wait_for("Tulou runs.")
    terminal.wait_for("hello from worker --queue files True")
    assert f"http://127.0.0.1:{port}/docs" in terminal.output.read_text()

    victim = next(pid for pid in processes_of(root) if b"files" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(victim, signal.SIGKILL)
    terminal.wait_for("worker-files ended (killed by SIGKILL) and starts again in 1 s")
    wait_until(
        lambda: terminal.output.read_text().count("hello from worker --queue files") == 2,
        10,
        terminal.output.read_text,
    )

    code, seconds = terminal.stop(signal.SIGINT)
    assert code == 0
    assert seconds < 10
    assert "worker-mail did not stop in time and is killed" in terminal.output.read_text()
    assert processes_of(root) == []


@pytest.mark.timeout(60)
def test_a_failed_migration_stops_everything(root: Path, port: int) -> None:
    terminal = Terminal(root, port=port, STAND_IN_MIGRATE="3")
    assert terminal.process.wait(30) == 1
    assert "migrate failed (exit code 3)" in terminal.output.read_text()
    assert processes_of(root) == []


@pytest.mark.timeout(60)
def test_an_api_that_cannot_start_stops_everything(root: Path, port: int) -> None:
    terminal = Terminal(root, port=port, STAND_IN_SERVE="1")
    assert terminal.process.wait(30) == 1
    assert "api does not stay up (exit code 1)" in terminal.output.read_text()
    assert terminal.output.read_text().count("hello from serve") == 1


@pytest.mark.timeout(60)
def test_a_database_that_ends_stops_everything(root: Path, port: int) -> None:
    terminal = Terminal(root, port=port)
    terminal.wait_for("Tulou runs.")
    os.kill(int((root / "data/postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    assert terminal.process.wait(15) == 1
    assert "PostgreSQL ended by itself" in terminal.output.read_text()


@pytest.mark.timeout(60)
def test_nothing_outlives_a_killed_supervisor(root: Path, port: int) -> None:
    terminal = Terminal(root, port=port)
    terminal.wait_for("hello from worker --queue files")
    terminal.process.kill()
    terminal.process.wait()
    wait_until(lambda: processes_of(root) == [], 10, lambda: str(processes_of(root)))


@pytest.mark.timeout(60)
def test_a_taken_port_is_one_sentence(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        terminal = Terminal(root, port=port)
        assert terminal.process.wait(30) == 1
    lines = terminal.output.read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"Port {port} on 127.0.0.1 is taken")


@pytest.mark.timeout(60)
def test_a_second_one_in_the_same_folder_is_one_sentence(root: Path, port: int) -> None:
    first = Terminal(root, port=port)
    first.wait_for("Tulou runs.")
    second = Terminal(root, port=port)
    assert second.process.wait(30) == 1
    assert second.output.read_text().startswith("Tulou already runs from")
    assert first.stop(signal.SIGTERM)[0] == 0
