"""Celery, by which workers take hints, and how little of what it reads it believes."""

import base64
import json
import ssl
from collections.abc import Sequence
from queue import Empty
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from celery import Celery
from kombu.transport.redis import Channel, Transport

from domains.jobs.gateway.hints import KEY_PREFIX, message_about
from shared.logging import get_logger

logger = get_logger(__name__)


class HintChannel(Channel):
    """Reads a queue's list, and goes on when what it has read can't be read as a message."""

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
        super()._deliver(message_about(job_id, queue), queue)  # type: ignore[no-untyped-call]  # kombu has no types


def _job_named_by(message: Any) -> UUID | None:
    try:
        (job_id,), _, _ = json.loads(base64.b64decode(message["body"]))
        return UUID(job_id)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None


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
            "global_keyprefix": KEY_PREFIX,
        },
    )
    if urlsplit(broker_url).scheme == "rediss":
        # Without it kombu speaks in the clear to rediss:// with no ssl_ parameters; those that are there come first.
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    # Without a default, a send from a thread goes to an application on amqp://localhost.
    app.set_default()
    return app
