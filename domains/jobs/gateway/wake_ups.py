"""Wake-ups of workers, over Redis: they make a job start at once. A lost one costs only time.

A wake-up is written in the format that Celery's workers read, without Celery: the API and the relay need nothing else
of Celery, and its own sending takes ten times as long.
"""

import asyncio
import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol
from uuid import UUID, uuid4

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from shared.background import BackgroundLoop, Run
from shared.logging import get_logger
from shared.throttled_warnings import BackOff, ThrottledWarnings
from shared.trace import Attribute, current_trace, span

logger = get_logger(__name__)
SENDING = BackgroundLoop("jobs.wake_ups")
TASK = "jobs.run"
KEY_PREFIX = "tulou:"
"""In front of each key in Redis; a queue is a list of its name."""

BROKER_TIMEOUT = 1.0
"""Time limit in seconds for each reply of the broker."""

WAKE_UP_BATCH = 16
"""Number of wake-ups that are sent between two checks of the list's length."""

BROKER_PAUSE = 1.0
"""Pause in seconds after the broker has failed; the relay wakes workers for jobs of this time."""

LONGEST_PAUSE = 8.0
"""The same, after several failures in a row."""

BUFFER = 10_000
"""Wake-ups that wait for the publishing thread; those past it are left to the relay."""


class WakeUps(Protocol):
    """Sends wake-ups to workers."""

    def send_soon(self, queue: str, job_id: UUID) -> None:
        """Send in the background; never blocks, never raises."""
        ...

    def send(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """Send now. Blocks; raises the broker's errors."""
        ...

    def waiting(self, queue: str) -> int:
        """Return the number of waiting wake-ups. Blocks; raises the broker's errors."""
        ...

    async def stop(self) -> None:
        """Send waiting wake-ups, for at most a second."""
        ...


def wake_up_message(job_id: UUID, queue: str) -> dict[str, Any]:
    """Return a wake-up as kombu reads it (Celery's message protocol, version 2)."""
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


def is_of_wrong_type(error: Exception) -> bool:
    """Tell whether Redis refused a command because the key holds a value of another type."""
    return str(error).startswith("WRONGTYPE")


def reason_of(error: ResponseError) -> str:
    """Return the reason for which Redis refused a command: redis-py's class, or the error code."""
    return str(error).partition(" ")[0] if type(error) is ResponseError else type(error).__name__


class RedisWakeUps:
    """Publishes from one background thread, so that no request waits for Redis.

    About `window` wake-ups wait in a queue at most: each makes a worker run many jobs.
    """

    def __init__(self, url: str, *, window: int = 64) -> None:
        self._url = url
        self._window = window
        self._capacity: dict[str, int] = {}
        self._pause = BackOff(BROKER_PAUSE, LONGEST_PAUSE)
        self._warnings = ThrottledWarnings(logger)
        # Bounded: while Redis is down, the oldest wake-ups are dropped.
        self._waiting: deque[tuple[str, UUID, str | None]] = deque(maxlen=BUFFER)
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @cached_property
    def _redis(self) -> Redis:
        return Redis.from_url(
            self._url,
            socket_timeout=BROKER_TIMEOUT,
            socket_connect_timeout=BROKER_TIMEOUT,
            socket_keepalive=True,
            # A retry would only delay other wake-ups, and the relay sends lost ones again.
            retry=Retry(NoBackoff(), 0),
        )

    def send_soon(self, queue: str, job_id: UUID) -> None:
        """Queue the wake-up for the background thread."""
        self._waiting.append((queue, job_id, current_trace().traceparent))
        self._ensure_thread()
        self._wake.set()

    def send(self, queue: str, job_ids: Sequence[UUID]) -> None:
        """Send all in one round trip."""
        wake_ups = [json.dumps(wake_up_message(job_id, queue)) for job_id in job_ids]
        if wake_ups:
            self._call_repairing_list(queue, lambda key: self._redis.lpush(key, *wake_ups))

    def waiting(self, queue: str) -> int:
        """Ask the broker."""
        return int(self._call_repairing_list(queue, self._redis.llen))

    def _call_repairing_list(self, queue: str, ask: Callable[[str], Any]) -> Any:
        """Return the length of a queue's list. A key of another type is deleted, because it can't be read."""
        key = KEY_PREFIX + queue
        try:
            return ask(key)
        except ResponseError as error:
            if not is_of_wrong_type(error):
                raise
            self._warnings.warn("wake_up_queue_replaced", key=key, reason="it was no list")
            self._redis.delete(key)
            return ask(key)

    async def stop(self) -> None:
        """End the thread when it has sent the buffered wake-ups, or after one second."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, timeout=1)
        self._redis.close()

    def _ensure_thread(self) -> None:
        # A fork copies the object but not the thread, so a child process starts its own.
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        rounds = Run(SENDING)
        while True:
            self._wake.wait()
            self._wake.clear()
            with rounds:
                self._send_waiting()
            if self._stopping and (rounds.failed or not self._waiting):
                return
            if rounds.failed:
                time.sleep(rounds.wait)
                self._wake.set()

    def _send_waiting(self) -> None:
        while self._waiting:
            queue, job_id, traceparent = self._waiting.popleft()
            try:
                if self._pause.is_over and self._take_capacity(queue):
                    about: dict[str, Attribute] = {"tulou.job.id": str(job_id)}
                    with span(f"wake-up {queue}", "producer", parent=traceparent, about=about):
                        self.send(queue, [job_id])
                    self._pause.succeed()
                    self._warnings.resolve("wake_up_not_sent", then="wake_ups_sent_again")
            except Exception as error:  # noqa: BLE001  # after any error of the broker, the relay finds the row
                self._warnings.warn("wake_up_not_sent", job_id=str(job_id), error=type(error).__name__)
                self._pause.fail()

    def _take_capacity(self, queue: str) -> bool:
        """Whether one more wake-up is useful. Asks the broker once for several wake-ups."""
        if not self._capacity.get(queue):
            # One length for several wake-ups: asking each time would double the round trips.
            self._capacity[queue] = max(0, min(WAKE_UP_BATCH, self._window - self.waiting(queue)))
        if not self._capacity[queue]:
            return False
        self._capacity[queue] -= 1
        return True
