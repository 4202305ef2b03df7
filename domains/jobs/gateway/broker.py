"""Celery as the receiver of wake-ups. Messages are untrusted: only the queue that they arrive on is used."""

import base64
import json
import ssl
import time
from collections.abc import Sequence
from queue import Empty
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from celery import Celery
from kombu.transport.redis import Channel, Transport
from kombu.transport.virtual import QoS
from redis.exceptions import ResponseError

from domains.jobs.gateway.wake_ups import KEY_PREFIX, is_of_wrong_type, reason_of, wake_up_message
from shared.background import BackgroundLoop, Run
from shared.ids import new_id
from shared.logging import get_logger
from shared.throttled_warnings import BackOff, ThrottledWarnings

logger = get_logger(__name__)
_warnings = ThrottledWarnings(logger)
WAKING = BackgroundLoop("worker.wake_ups")
WAKE_PAUSE = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""First and longest pause in seconds after an error of Redis."""


class WakeUpQoS(QoS):
    """Tracks wake-ups in memory only: they are acknowledged early and never redelivered.

    kombu writes each message that it delivers to two more keys, and looks through them every ten seconds.
    """

    restore_at_shutdown = False

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # kombu's signature
        """Forget a wake-up."""
        self.ack(delivery_tag)  # type: ignore[no-untyped-call]  # kombu has no types

    def restore_visible(self, **_options: Any) -> None:
        """Do nothing."""


class WakeUpChannel(Channel):
    """Reads the lists of its queues, with BRPOP only. An error of Redis does not end it.

    After an error it pauses. Meanwhile the worker wakes up by itself (`WakeUpTransport.wake`).
    """

    QoS = WakeUpQoS  # type: ignore[assignment]  # kombu's for Redis writes to it

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # kombu has no types
        self._pause = BackOff(FIRST_PAUSE, LONGEST_PAUSE)
        self._failure = ""

    @property
    def is_failing(self) -> bool:
        """Whether the last reply of Redis was an error."""
        return bool(self._failure)

    def _queue_bind(self, *_binding: Any) -> None:
        """Bind in memory alone: a wake-up is sent to the list of its queue."""

    def _size(self, _queue: str) -> int:
        return 0

    def _brpop_start(self, timeout: float | None = None) -> None:
        if self._pause.is_over:
            super()._brpop_start(timeout)  # type: ignore[no-untyped-call]  # kombu has no types

    def _brpop_read(self, **options: Any) -> Any:
        try:
            found = super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has no types
        except Empty:
            self._recover()
            raise
        # Celery reconnects by itself after these.
        except self.connection_errors:
            raise
        except ResponseError as error:
            self._fail(error)
            raise Empty from error
        except Exception as error:
            # It has left the list already. Celery would stop the worker and put the message on the list again.
            _warnings.warn("wake_up_refused", error=type(error).__name__)
            raise Empty from error
        self._recover()
        return found

    def _fail(self, error: ResponseError) -> None:
        # Celery would stop the worker for an error reply, for example of a read-only replica.
        self._failure = reason_of(error)
        self._pause.fail()
        _warnings.warn("wake_ups_unreadable", error=self._failure, queues=sorted(self.active_queues))
        if is_of_wrong_type(error):
            self._delete_non_lists()

    def _delete_non_lists(self) -> None:
        """Delete a key of another type in place of a list: it can't be read, and a list holds only wake-ups."""
        with self.conn_or_acquire() as client:
            for queue in self.active_queues:
                for priority in self.priority_steps:
                    key = self._q_for_pri(queue, priority)  # type: ignore[no-untyped-call]  # kombu has no types
                    try:
                        client.llen(key)
                    except ResponseError as error:
                        if is_of_wrong_type(error):
                            client.delete(key)

    def _recover(self) -> None:
        if self._failure:
            self._failure = ""
            self._pause.succeed()
            _warnings.resolve("wake_ups_unreadable", then="wake_ups_readable_again")


class WakeUpTransport(Transport):
    """Redis as a transport of wake-ups: a message means "look at this queue", and nothing else of it is used.

    Otherwise a client that can write to Redis could stop every worker, or call any task with any options.
    """

    Channel = WakeUpChannel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Also wake the worker periodically, for due jobs without a wake-up."""
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]  # kombu has no types
        options = connection.client.transport_options
        interval, number = options["look_interval"], options["looks_at_once"]
        self._next_look = time.monotonic() + interval
        self._rounds = Run(WAKING)
        # A connection that follows this one has a transport of its own, and this one no channels then.
        loop.call_repeatedly(WAKE_PAUSE, self.wake, interval, number)

    def wake(self, interval: float, number: int) -> None:
        """Let idle children check their queues every `interval` seconds, and every second while reading fails."""
        with self._rounds:
            self._wake_all(interval, number)

    def _wake_all(self, interval: float, number: int) -> None:
        cycle: Any = self.cycle
        channels = [channel for channel in cycle._channels if channel.active_queues]  # noqa: SLF001  # all there is
        is_due = time.monotonic() >= self._next_look
        if is_due:
            self._next_look = time.monotonic() + interval
        for channel in channels:
            if is_due or channel.is_failing:
                self._wake(channel, number)

    def _wake(self, channel: WakeUpChannel, number: int) -> None:
        for queue in sorted(channel.active_queues):
            for _ in range(number):
                if not channel.qos.can_consume():
                    return
                super()._deliver(wake_up_message(new_id(), queue), queue)  # type: ignore[no-untyped-call]  # as above

    def _deliver(self, message: Any, queue: str) -> None:
        # The message is replaced by one made here, so nothing else of it reaches Celery.
        job_id = _job_id_of(message)
        if job_id is None:
            _warnings.warn("wake_up_refused", error="it names no job")
            return
        super()._deliver(wake_up_message(job_id, queue), queue)  # type: ignore[no-untyped-call]  # kombu has no types


def _job_id_of(message: Any) -> UUID | None:
    try:
        (job_id,), _, _ = json.loads(base64.b64decode(message["body"]))
        return UUID(job_id)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


def create_celery(
    broker_url: str,
    *,
    queues: Sequence[str] = ("default",),
    look_interval: float = 10.0,
    looks_at_once: int = 1,
) -> Celery:
    """Return the Celery application. A message is only a wake-up, so it is acknowledged early and never redelivered.

    Every `look_interval` seconds, `looks_at_once` idle children look at their queues without a wake-up.
    """
    # Not current: a process may have several applications, as tests do.
    app = Celery("tulou", broker=broker_url, set_as_current=False)
    app.conf.update(
        broker_transport=f"{__name__}:{WakeUpTransport.__name__}",
        task_acks_late=False,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        task_publish_retry=False,
        task_default_queue=queues[0],
        task_create_missing_queues=True,
        # A wake-up that waits in a busy worker could wake an idle one.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_send_task_events=False,
        # Everyone with access to Redis could otherwise control the workers.
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
            "global_keyprefix": KEY_PREFIX,
            "look_interval": look_interval,
            "looks_at_once": looks_at_once,
        },
    )
    if urlsplit(broker_url).scheme == "rediss":
        # Without it kombu connects unencrypted to rediss:// URLs without ssl_ parameters; given parameters take
        # precedence.
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    # Without a default, a send from a thread goes to an application on amqp://localhost.
    app.set_default()
    return app
