"""Celery workers: a child process keeps one composed program and one event loop for its life."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import Any

import uvloop
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning, WorkerTerminate
from celery.platforms import EX_OK
from celery.signals import worker_process_init, worker_process_shutdown, worker_ready
from celery.worker import state

from bootstrap.compose import compose, require, start, stop
from bootstrap.container import TulouContainer
from bootstrap.domain_selection import kinds_of
from bootstrap.observability.processes import check_observation, observed
from bootstrap.runtime.gc_tuning import tune_gc
from bootstrap.runtime.liveness import touch
from bootstrap.runtime.watchdog import Watchdog
from bootstrap.runtime.watched_consumer import WatchedConsumer
from bootstrap.settings.model import Settings
from bootstrap.settings.required import required_settings
from domains.jobs.gateway.broker import create_celery
from domains.jobs.gateway.wake_ups import TASK
from domains.jobs.schemas import WorkerInfo
from domains.jobs.service.runner import JobRunner
from shared.background import BackgroundLoop, Run
from shared.logging import configure_logging, get_logger
from shared.queues import QUEUES

logger = get_logger(__name__)
ANNOUNCING = BackgroundLoop("worker.heartbeat", round_timeout=20.0)
WORKER_LOOP = BackgroundLoop("worker.jobs")
ANNOUNCE_PAUSE = 10.0
TICK = 1.0
"""Seconds between two checks whether a heartbeat is due."""

GONE_AFTER = timedelta(days=1)
RELEASE_TIME = 2.0
"""Seconds that a child has, at the end of the soft shutdown, to release its job."""

_KIB = 1024

Compose = Callable[[Settings], TulouContainer]


class Shutdown:
    """Shutdown state of a worker, shared by its processes: the deadline, and the number of busy children."""

    def __init__(self) -> None:
        self._ends_at = multiprocessing.Value("d", 0.0)
        self._busy = multiprocessing.Value("i", 0)

    def begin(self, seconds: float) -> None:
        """Set the deadline."""
        self._ends_at.value = time.monotonic() + seconds

    def ends_at(self) -> float | None:
        """Return the moment (`time.monotonic()`) at which jobs are released, or None."""
        return self._ends_at.value or None

    def work(self, number: int) -> None:
        """Count a child in (1) or out (-1)."""
        with self._busy.get_lock():
            self._busy.value += number

    def wait(self, seconds: float) -> None:
        """Wait until no child is busy."""
        until = time.monotonic() + seconds
        while self._busy.value > 0 and time.monotonic() < until:
            time.sleep(0.02)


class WorkerChild:
    """State of a child process of a worker, created after the fork."""

    def __init__(self, container: TulouContainer, shutdown: Shutdown) -> None:
        self._container = container
        self._loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._loop.run(start(self._container))
        self._observation = ExitStack()
        self._observation.enter_context(observed(container.settings(), "worker"))
        self.runner: JobRunner = self._container.jobs.runner()
        self.runner.ends_at = shutdown.ends_at
        self.runner.kinds = kinds_of(container)
        self.runner.slots = {
            queue.name: getattr(container.settings(), queue.slots) for queue in QUEUES.values() if queue.slots
        }
        self._modes = container.modes.service()
        self.runner.is_paused = lambda: not self._modes.is_normal

    def run_due(self, queue: str) -> int:
        """Run due jobs of a queue; return how many."""
        return self._loop.run(self._run_due(queue))

    async def _run_due(self, queue: str) -> int:
        """Run due jobs. The mode is checked before each one: jobs start only in mode normal."""
        async with self._modes.refreshing():
            return await self.runner.run_worker_loop(queue)

    def stop(self) -> None:
        """Close the child's resources."""
        self._loop.run(stop(self._container))
        self._loop.close()
        self._observation.close()


class Worker:
    """The Celery application with its one task; run it with `run`."""

    def __init__(
        self,
        settings: Settings,
        queues: Sequence[str],
        *,
        composed: Compose = lambda settings: compose(settings, "worker"),
    ) -> None:
        require(settings, required_settings("worker", queues))
        check_observation(settings)
        self._settings = settings
        self._queues = list(queues)
        self._compose = composed
        # Composed in the child: connections and threads do not survive a fork.
        self._child: WorkerChild | None = None
        self._shutdown = Shutdown()
        # A heartbeat blocks the event loop.
        self._watchdog = Watchdog(settings.watchdog and settings.watchdog + ANNOUNCING.round_timeout)
        self._announcements, self._loop_runs = Run(ANNOUNCING, ANNOUNCE_PAUSE), Run(WORKER_LOOP)
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
        self.celery = create_celery(
            redis_url,
            queues=self._queues,
            look_interval=settings.jobs_look_interval,
            looks_at_once=settings.worker_concurrency,
        )
        self.celery.conf.task_time_limit = self._hard_limit()
        self.celery.conf.worker_max_tasks_per_child = settings.jobs_child_hints
        self.celery.conf.worker_max_memory_per_child = settings.jobs_child_memory_bytes // _KIB
        self.celery.conf.worker_consumer = partial(
            WatchedConsumer, watchdog=self._watchdog, on_retry=lambda: touch(settings.pulse_file)
        )
        self._declare_task()
        # Celery keeps weak references by default, and the bound methods would be collected at once.
        worker_process_init.connect(self._on_child_start, weak=False)
        worker_process_shutdown.connect(self._on_child_stop, weak=False)
        worker_ready.connect(self._on_ready, weak=False)

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
            # Workers find each other through the database; these would only add traffic in Redis.
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
        # A worker may run as root where everything does (a container, a development machine): its messages hold ids
        # in JSON, which can run no code.
        warnings.simplefilter("ignore", SecurityWarning)
        # The warning is about tasks that are acknowledged late; these are acknowledged early.
        warnings.simplefilter("ignore", CPendingDeprecationWarning)
        try:
            self.celery.worker_main(arguments)
        finally:
            self._unregister()

    def _hard_limit(self) -> float:
        """Return the seconds after which Celery kills a child that follows a wake-up.

        Longer than anything that ends by itself: the last job begins while the child still drains, times out, has its
        grace, and writes how it ended for as long as its lease may hold. Only what blocks the loop is killed.
        """
        given = self._settings
        longest = self._compose(given).registry().longest_timeout(self._queues)
        return longest + given.jobs_drain_seconds + given.jobs_cancel_grace + given.jobs_lease

    def _declare_task(self) -> None:
        @self.celery.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]  # Celery's
        def follow(task: Any, _job_id: str) -> None:
            self._handle_wake_up(task.request.delivery_info.get("routing_key") or self._queues[0])

    def _handle_wake_up(self, queue: str) -> None:
        """Handle one wake-up: run due jobs in fair order.

        An error here loses no job, because its row stays due.
        """
        if self._shutdown.ends_at() is not None:
            return
        self._shutdown.work(1)
        try:
            with self._loop_runs:
                self._current_child().run_due(queue)
        finally:
            self._shutdown.work(-1)

    def _current_child(self) -> WorkerChild:
        if self._child is None:
            self._child = WorkerChild(self._compose(self._settings), self._shutdown)
        return self._child

    def _on_child_start(self, **_: object) -> None:
        configure_logging(level=self._settings.log_level, log_format=self._settings.logs_as)
        self._current_child()
        tune_gc()

    def _on_child_stop(self, exitcode: int, **_: object) -> None:
        if self._child is not None:
            self._child.stop()
        if self._shutdown.ends_at() is not None:
            # billiard would report its end and wait a second for a reader. The parent no longer reads: it
            # waits for this process, within the time limit of the stop.
            os._exit(exitcode)

    def _on_ready(self, sender: Any, **_: object) -> None:
        """Install the shutdown before Celery's, and start heartbeats. Runs in the parent process."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._end)
        sender.timer.call_repeatedly(TICK, self._tick)
        self._tick()

    def _tick(self) -> None:
        """Touch the liveness file, and send a heartbeat when it is due. Called on Celery's event loop."""
        touch(self._settings.pulse_file)
        if self._announcements.is_due:
            with self._announcements:
                self._announce()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        """Wait until running jobs have ended or were released, before Celery ends the children.

        Replaces its handlers.
        """
        if self._shutdown.ends_at() is not None:
            self._shutdown.begin(0)  # second signal: release running jobs now
            return
        # The wait below blocks the event loop on purpose.
        self._watchdog.disarm()
        logger.info("worker_draining")
        grace = self._settings.worker_soft_shutdown
        self._shutdown.begin(max(0.0, grace - RELEASE_TIME))
        # On a thread, because this signal may have interrupted a heartbeat.
        announcement = threading.Thread(target=self._announce_shutdown, daemon=True)
        announcement.start()
        self._shutdown.wait(grace)
        announcement.join(RELEASE_TIME)
        # The same as Celery's cold shutdown, without its message about Ctrl+C.
        state.should_terminate = EX_OK
        raise WorkerTerminate(EX_OK)

    def _announce_shutdown(self) -> None:
        with Run(ANNOUNCING):
            self._announce()

    def _announce(self) -> None:
        """Write the heartbeat on a new connection each time, because an open one would be inherited by children."""
        is_draining = self._shutdown.ends_at() is not None
        info = WorkerInfo.of_this_process(self._queues, draining=is_draining)
        asyncio.run(self._update_registry(info, is_leaving=False))

    def _unregister(self) -> None:
        with Run(ANNOUNCING):
            asyncio.run(self._update_registry(WorkerInfo.of_this_process(), is_leaving=True))

    async def _update_registry(self, info: WorkerInfo, *, is_leaving: bool) -> None:
        container = compose(self._settings, "relay")
        try:
            async with asyncio.timeout(ANNOUNCING.round_timeout):
                await start(container)
                worker_registry = container.jobs.worker_registry()
                if is_leaving:
                    await worker_registry.deregister(info.id)
                else:
                    await worker_registry.register(info)
                    await worker_registry.delete_stale(age=GONE_AFTER)
        finally:
            await container.database().stop()
