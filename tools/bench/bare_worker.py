"""The floor: Celery alone, early acknowledgement, no result backend, no database but for the task that writes a row."""

import asyncio
import mmap
import os
import struct
import time
import warnings
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from celery import Celery
from celery.exceptions import SecurityWarning

QUEUE = "bare"
_SLOT = struct.Struct("=qd")
"""Tasks done by one child; when the latest ended, in seconds since 1970."""


class Tally:
    """What a child has done, in a mapped file that the measurement reads: it costs a task a microsecond."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(_SLOT.pack(0, 0.0))
        with path.open("r+b") as file:
            self._slot = mmap.mmap(file.fileno(), _SLOT.size)
        self._done = 0

    def add(self) -> None:
        """Count a task that has just ended."""
        self._done += 1
        _SLOT.pack_into(self._slot, 0, self._done, time.time())


def read_tallies(folder: Path) -> tuple[int, float]:
    """Return how many tasks all children have done, and when the latest ended."""
    slots = [_SLOT.unpack(path.read_bytes()) for path in folder.glob("*.tally")]
    return sum(done for done, _ in slots), max((ended for _, ended in slots), default=0.0)


def create_app(broker_url: str) -> Celery:
    """Return a Celery application with its defaults, less what costs it time: results and events."""
    app = Celery("bare", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )
    app.set_default()
    return app


class Child:
    """What a child keeps: its tally, its event loop, its connection."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.tally = Tally(folder / f"{os.getpid()}.tally")
        self._loop = asyncio.new_event_loop()
        self._database_url = database_url
        self._connection: Any = None

    def write_row(self) -> None:
        """Insert one row, in one round trip."""
        self._loop.run_until_complete(self._write())

    async def _write(self) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._database_url)
        await self._connection.execute("INSERT INTO bench.effects (id) VALUES ($1)", uuid4())


def declare_tasks(app: Celery) -> None:
    """Declare the two tasks."""
    children: dict[int, Child] = {}

    def child() -> Child:
        if os.getpid() not in children:
            children[os.getpid()] = Child(Path(os.environ["BENCH_FOLDER"]), os.environ["DATABASE_URL"])
        return children[os.getpid()]

    @app.task(name="bench.nothing")  # type: ignore[untyped-decorator]  # Celery's
    def do_nothing() -> None:
        child().tally.add()

    @app.task(name="bench.row")  # type: ignore[untyped-decorator]  # Celery's
    def write_row() -> None:
        child().write_row()
        child().tally.add()


def main() -> None:
    """Work until SIGTERM."""
    warnings.simplefilter("ignore", SecurityWarning)
    app = create_app(os.environ["REDIS_URL"])
    declare_tasks(app)
    app.worker_main(
        [
            "--quiet",
            "worker",
            f"--queues={QUEUE}",
            f"--concurrency={os.environ['TULOU_WORKER_CONCURRENCY']}",
            "--pool=prefork",
            "--loglevel=warning",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


if __name__ == "__main__":
    main()
