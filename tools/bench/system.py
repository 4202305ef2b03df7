"""The servers and processes that are measured: a durable PostgreSQL, a Valkey, workers that can be frozen."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]

from bootstrap.settings.generated_secrets import ensure_secrets, read_environment_file
from tools.dev.postgres import EmbeddedPostgres
from tools.dev.valkey import EmbeddedValkey

MEBIBYTE = 1 << 20
STOP_SECONDS = 15.0
CHILDREN = 2
"""Child processes of each worker that is measured."""

_EFFECTS = """
CREATE SCHEMA bench;
CREATE TABLE bench.effects (id uuid PRIMARY KEY, written_at timestamptz NOT NULL DEFAULT now());
GRANT USAGE ON SCHEMA bench TO tulou_app;
GRANT SELECT, INSERT, DELETE ON bench.effects TO tulou_app;
"""


@dataclass(frozen=True)
class System:
    """Where the servers listen, and the folder of everything."""

    folder: Path
    environment: dict[str, str]
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey


@contextlib.contextmanager
def running_system() -> Iterator[System]:
    """Start PostgreSQL as in production (every commit reaches the disk) and Valkey; remove everything at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tulou-bench-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres")
    valkey = EmbeddedValkey(folder / "valkey")
    try:
        postgres.start()
        valkey.start()
        yield System(folder, _environment(folder, postgres, valkey), postgres, valkey)
    finally:
        valkey.stop()
        postgres.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path, postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> dict[str, str]:
    return {
        "TULOU_ENV": "test",
        "TULOU_DATA_DIR": str(folder),
        "TULOU_LOG_FORMAT": "json",
        "TULOU_LOG_LEVEL": "warning",  # as Celery's worker here, which has two lines for each task otherwise
        "TULOU_WORKER_CONCURRENCY": str(CHILDREN),
        "TULOU_WORKER_SOFT_SHUTDOWN": "3",
        "DATABASE_URL": postgres.url,
        "TULOU_DATABASE_OWNER_URL": postgres.owner_url,
        "REDIS_URL": valkey.url,
        "SMTP_URL": "smtp://127.0.0.1:9",
        "BENCH_FOLDER": str(folder),
        **read_environment_file(ensure_secrets(folder)),
    }


async def make_effects_table(system: System) -> None:
    """Make the table that the jobs which write a row write to."""
    connection = await asyncpg.connect(system.postgres.superuser_url)
    try:
        await connection.execute(_EFFECTS)
    finally:
        await connection.close()


class Program:
    """A Python module as a process group of its own. What it says goes to a file of its name in `folder`."""

    def __init__(self, module: str, *arguments: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.log = folder / f"{module}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own module, no shell
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the parent."""
        return self._process.pid

    def freeze(self) -> None:
        """Let it and its children do nothing until `thaw`."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def require_alive(self) -> None:
        """Check that it runs; raises RuntimeError with its last words."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended: {self.log.read_text(errors='replace')[-4000:]}")

    def child_memory(self) -> list[float]:
        """Return the resident memory of each child process, in MiB."""
        sizes = []
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                sizes.append(child.memory_info().rss / MEBIBYTE)
        return sorted(sizes)

    def stop(self) -> None:
        """Ask it to stop, and end it if it doesn't."""
        with contextlib.suppress(ProcessLookupError):
            self.thaw()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its children, gone ones too, have used so far."""
    parent = psutil.Process(pid)
    times = parent.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in parent.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = child.cpu_times()
            total += used.user + used.system
    return float(total)


def wait_for_children(program: Program, *, seconds: float = 60) -> None:
    """Wait until a worker has its children."""
    until = time.monotonic() + seconds
    while len(program.child_memory()) < CHILDREN:
        program.require_alive()
        if time.monotonic() > until:
            raise RuntimeError("the worker never got its children")
        time.sleep(0.1)
