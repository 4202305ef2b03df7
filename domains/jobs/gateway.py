"""Hints to workers, over Celery and Redis: they make a job start at once. Losing them costs time, nothing else."""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from celery import Celery

from shared.logging import get_logger

logger = get_logger(__name__)
TASK = "jobs.run"
BUFFER = 10_000
"""Hints that wait for the publishing thread; those past it are left to the relay."""


class Hints(Protocol):
    """Tells workers that a job is due."""

    def send_soon(self, queue: str, job_id: UUID) -> None:
        """Send in the background; never blocks, never raises."""
        ...

    def send(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """Send now, blocking; raises what the broker raises."""
        ...

    async def stop(self) -> None:
        """Send what waits, for a second at most."""
        ...


def create_celery(broker_url: str, *, queues: Sequence[str] = ("default",)) -> Celery:
    """Return the Celery application. A message is only a hint, so it is acknowledged early and never redelivered."""
    app = Celery("tulou", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=False,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        task_publish_retry=False,
        task_default_queue=queues[0],
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_max_tasks_per_child=500,
        worker_max_memory_per_child=512_000,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_timeout=2,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "global_keyprefix": "tulou:",
        },
    )
    # Without a default, a send from a thread goes to an application on amqp://localhost.
    app.set_default()
    return app


class CeleryHints:
    """Publishes from one background thread, so that no request waits for Redis."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._waiting: deque[tuple[str, UUID]] = deque(maxlen=BUFFER)
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def send_soon(self, queue: str, job_id: UUID) -> None:
        """Hand the hint to the background thread."""
        self._waiting.append((queue, job_id))
        self._ensure_thread()
        self._wake.set()

    def send(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """Publish on one connection of the pool."""
        with self._celery.producer_pool.acquire(block=True, timeout=2) as producer:
            for job_id in job_ids:
                self._publish(producer, queue, job_id)

    async def stop(self) -> None:
        """End the thread once it has sent what waits, or after a second."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, timeout=1)

    def _publish(self, producer: Any, queue: str, job_id: UUID) -> None:
        self._celery.send_task(TASK, args=[str(job_id)], queue=queue, producer=producer, retry=False)

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self._send_waiting()
            if self._stopping and not self._waiting:
                return

    def _send_waiting(self) -> None:
        while self._waiting:
            queue, job_id = self._waiting.popleft()
            try:
                self.send(queue, [job_id])
            except Exception as error:  # noqa: BLE001  # whatever the broker raises, the relay finds the row
                logger.warning("hint_not_sent", job_id=str(job_id), error=type(error).__name__)
                self._waiting.clear()
