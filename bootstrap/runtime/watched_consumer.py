"""The consumer of a Celery worker; its event loop resets the watchdog of the parent process."""

from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

from bootstrap.runtime.watchdog import Watchdog


class WatchedConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Beats in each turn of the event loop, and each second while Redis can't be reached.

    The event loop stands still while the consumer tries to connect again; `on_retry` is called each second meanwhile.
    """

    def __init__(
        self, *arguments: Any, watchdog: Watchdog, on_retry: Callable[[], None], **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._watchdog = watchdog
        self._on_retry = on_retry

    def on_ready(self) -> None:
        """Start the heartbeat. Called again after each new connection."""
        self._watchdog.beat()
        self.hub.on_tick.add(self._watchdog.beat)
        super().on_ready()

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and retry without a limit."""
        ensure = conn.ensure_connection

        def watched(errback: Any, max_retries: int | None, callback: Callable[[], None]) -> Any:
            def retry() -> None:
                self._watchdog.beat()
                self._on_retry()
                callback()

            return ensure(errback, max_retries, callback=retry)

        conn.ensure_connection = watched
        return super().ensure_connected(conn)
