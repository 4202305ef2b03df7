"""Hints to workers, over Celery and Redis: they make a job start at once. Losing them costs time, nothing else."""

import asyncio
import base64
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import Empty
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from celery import Celery
from kombu.transport.redis import Channel, Transport

from shared.logging import get_logger
from shared.trace import Attribute, current_trace, span

logger = get_logger(__name__)
TASK = "jobs.run"
ROOM_AT_A_TIME = 16
"""Hints that are sent without asking how many wait."""

BROKER_PAUSE = 1.0
"""Seconds without a try after the broker has failed; the relay finds the jobs of this time."""

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

    def waiting(self, queue: str) -> int:
        """Return how many hints no worker has taken yet, blocking; raises what the broker raises."""
        ...

    async def stop(self) -> None:
        """Send what waits, for a second at most."""
        ...


class HintChannel(Channel):
    """Reads a queue's list, and goes on when what it has read can't be read as a message."""

    def length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return int(self._size(queue))  # type: ignore[no-untyped-call]  # kombu has no types

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has no types
        except (Empty, *self.connection_errors):
            raise
        except Exception as error:
            # It has left the list already. Celery would end the worker, and lay it on the list again.
            logger.warning("hint_refused", error=type(error).__name__)
            raise Empty from error


class HintTransport(Transport):
    """Redis, of whose messages nothing is believed but the id of a job.

    Whoever can write to Redis could otherwise end every worker for good, or call any task with any options.
    """

    Channel = HintChannel

    def _deliver(self, message: Any, queue: str) -> None:
        job_id = _job_named_by(message)
        if job_id is None:
            logger.warning("hint_refused", error="it names no job")
            return
        super()._deliver(_message_about(job_id, queue), queue)  # type: ignore[no-untyped-call]  # kombu has no types


def _job_named_by(message: Any) -> UUID | None:
    try:
        (job_id,), _, _ = json.loads(base64.b64decode(message["body"]))
        return UUID(job_id)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


def _message_about(job_id: UUID, queue: str) -> dict[str, Any]:
    """Return what kombu would have read (Celery's message protocol, version 2), with nothing of the sender's in it."""
    body = json.dumps([[str(job_id)], {}, {}]).encode()
    return {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": TASK, "id": str(uuid4())},
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_tag": str(uuid4()),
            "priority": 0,
        },
    }


def create_celery(broker_url: str, *, queues: Sequence[str] = ("default",)) -> Celery:
    """Return the Celery application. A message is only a hint, so it is acknowledged early and never redelivered."""
    app = Celery("tulou", broker=broker_url, set_as_current=False)
    app.conf.update(
        broker_transport=f"{__name__}:{HintTransport.__name__}",
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
    if urlsplit(broker_url).scheme == "rediss":
        # Without it kombu speaks in the clear to rediss:// with no ssl_ parameters; those that are there come first.
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    # Without a default, a send from a thread goes to an application on amqp://localhost.
    app.set_default()
    return app


class CeleryHints:
    """Publishes from one background thread, so that no request waits for Redis.

    No more than `window` hints wait in a queue, or some more: each makes a worker do many jobs.
    """

    def __init__(self, celery: Celery, *, window: int = 64) -> None:
        self._celery = celery
        self._window = window
        self._room: dict[str, int] = {}
        self._next_try = 0.0
        self._waiting: deque[tuple[str, UUID, str | None]] = deque(maxlen=BUFFER)
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def send_soon(self, queue: str, job_id: UUID) -> None:
        """Hand the hint to the background thread."""
        self._waiting.append((queue, job_id, current_trace().traceparent))
        self._ensure_thread()
        self._wake.set()

    def send(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """Publish on one connection of the pool."""
        with self._celery.producer_pool.acquire(block=True, timeout=2) as producer:
            for job_id in job_ids:
                self._publish(producer, queue, job_id)

    def waiting(self, queue: str) -> int:
        """Ask the broker."""
        with self._celery.producer_pool.acquire(block=True, timeout=2) as producer:
            return int(producer.channel.length(queue))

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
            queue, job_id, traceparent = self._waiting.popleft()
            try:
                if time.monotonic() >= self._next_try and self._take_room(queue):
                    about: dict[str, Attribute] = {"tulou.job.id": str(job_id)}
                    with span(f"hint {queue}", "producer", parent=traceparent, about=about):
                        self.send(queue, [job_id])
            except Exception as error:  # noqa: BLE001  # whatever the broker raises, the relay finds the row
                logger.warning("hint_not_sent", job_id=str(job_id), error=type(error).__name__)
                self._next_try = time.monotonic() + BROKER_PAUSE

    def _take_room(self, queue: str) -> bool:
        """Tell whether one more hint is of use. Asks the broker once for several hints."""
        if not self._room.get(queue):
            self._room[queue] = max(0, min(ROOM_AT_A_TIME, self._window - self.waiting(queue)))
        if not self._room[queue]:
            return False
        self._room[queue] -= 1
        return True
