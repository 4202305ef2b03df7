"""Celery workers: a child process keeps one composed program and one event loop for its life."""

import asyncio
import multiprocessing
import os
import warnings
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import uvloop
from celery.exceptions import SecurityWarning
from celery.signals import worker_process_init, worker_process_shutdown, worker_shutting_down

from bootstrap.compose import compose, require, start, stop
from bootstrap.settings import Settings
from domains.jobs.gateway import TASK, create_celery
from domains.jobs.service.runner import JobRunner
from shared.errors import DatabaseUnavailable
from shared.logging import configure_logging, get_logger

logger = get_logger(__name__)
HARD_LIMITS = {"mail": 150, "files": 960}
"""Seconds after which Celery kills a child. A job's own limit ends it long before, unless it blocks the loop."""


class WorkerChild:
    """What a child process of a worker keeps from its first job to its last. Made after the fork."""

    def __init__(self, settings: Settings) -> None:
        self._container = compose(settings, "worker")
        self._loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._loop.run(start(self._container))
        self.runner: JobRunner = self._container.jobs.runner()

    def follow_hint(self, job_id: UUID, queue: str) -> int:
        """Run the hinted job and due ones after it; return how many."""
        return self._loop.run(self.runner.follow_hint(job_id, queue))

    def stop(self) -> None:
        """Close what the child holds."""
        self._loop.run(stop(self._container))
        self._loop.close()


class Worker:
    """The Celery application with its one task; run it with `run`."""

    def __init__(self, settings: Settings, queues: Sequence[str]) -> None:
        require(settings)
        self._settings = settings
        self._queues = list(queues)
        self._child: WorkerChild | None = None
        self._draining = multiprocessing.Event()
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
        self.celery = create_celery(redis_url, queues=self._queues)
        self.celery.conf.worker_soft_shutdown_timeout = settings.worker_soft_shutdown
        self.celery.conf.task_time_limit = max(HARD_LIMITS.get(queue, 900) for queue in self._queues)
        self._declare_task()
        # Without weak=False the bound methods would be forgotten at once.
        worker_process_init.connect(self._on_child_start, weak=False)
        worker_process_shutdown.connect(self._on_child_stop, weak=False)
        worker_shutting_down.connect(self._on_shutting_down, weak=False)

    def run(self) -> None:
        """Work until SIGTERM."""
        arguments = [
            "--quiet",
            "worker",
            f"--queues={','.join(self._queues)}",
            f"--concurrency={self._settings.worker_concurrency}",
            "--pool=prefork",
            f"--hostname={'-'.join(self._queues)}-{os.getpid()}@%h",
            f"--loglevel={self._settings.log_level}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
        # A worker may run as root where everything does (a container, a development machine): its messages hold ids
        # in JSON, which can run no code.
        warnings.simplefilter("ignore", SecurityWarning)
        self.celery.worker_main(arguments)

    def _declare_task(self) -> None:
        @self.celery.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]  # Celery's
        def follow(task: Any, job_id: str) -> None:
            self._follow(job_id, task.request.delivery_info.get("routing_key") or self._queues[0])

    def _follow(self, job_id: str, queue: str) -> None:
        """Follow one hint. Nothing that goes wrong here loses a job: its row is found again."""
        try:
            self._current_child().follow_hint(UUID(job_id), queue)
        except DatabaseUnavailable:
            logger.warning("hint_dropped", reason="the database is away")
        except ValueError:
            logger.warning("hint_dropped", reason="it names no job")

    def _current_child(self) -> WorkerChild:
        if self._child is None:
            self._child = WorkerChild(self._settings)
            self._child.runner.is_draining = self._draining.is_set
        return self._child

    def _on_child_start(self, **_: object) -> None:
        configure_logging(level=self._settings.log_level, log_format=self._settings.logs_as)
        self._current_child()

    def _on_child_stop(self, **_: object) -> None:
        if self._child is not None:
            self._child.stop()

    def _on_shutting_down(self, **_: object) -> None:
        self._draining.set()
