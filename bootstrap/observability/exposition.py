"""All metrics of a process in Prometheus' text format. Sources are cached and read concurrently."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bootstrap.observability.families import Source, gauge
from shared.logging import get_logger

logger = get_logger(__name__)
PATIENCE = 2.0
"""Time limit in seconds for all sources together."""

AGAIN = 5.0
"""Seconds after which a source that failed is read again, if not sooner."""


class Exposition(Collector):
    """All metrics of a process, and those of the whole installation that it can read."""

    def __init__(self, own: Collector, sources: Mapping[str, Source]) -> None:
        self._process_metrics = own
        self._cached = [_CachedSource(name, source) for name, source in sources.items()]
        self._lock = asyncio.Lock()

    async def text(self) -> bytes:
        """Return the metrics. Where a source can't be read its metrics are missing, and `tulou_metrics_up` says so."""
        # Concurrent scrapes share one reading of each source.
        async with self._lock:
            stale = [cached for cached in self._cached if cached.is_stale]
            if stale:
                # Not gather: a source that can't be cancelled must not hold up the answer.
                await asyncio.wait([cached.ask() for cached in stale], timeout=PATIENCE)
            for cached in stale:
                cached.store_result()
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; `generate_latest` asks for them."""
        yield from self._process_metrics.collect()
        yield gauge(
            "tulou_metrics_up",
            "Whether the numbers of a source could be read.",
            ["source"],
            [([cached.name], cached.is_up) for cached in self._cached],
        )
        for cached in self._cached:
            yield from cached.families


class _CachedSource:
    """The last values of a source, and how long they are fresh."""

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self.families: Sequence[Metric] = ()
        self.is_up = False
        self._source = source
        self._fresh_until = 0.0
        self._task: asyncio.Task[Sequence[Metric]] | None = None

    @property
    def is_stale(self) -> bool:
        return time.monotonic() >= self._fresh_until

    def ask(self) -> asyncio.Task[Sequence[Metric]]:
        """Begin to read the source, unless an earlier reading has not ended yet."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read())
            self._task.add_done_callback(_retrieve)
        return self._task

    def store_result(self) -> None:
        """Keep what was read."""
        task = self._task
        if task is None:
            return
        task.cancel()
        error = _error_of(task)
        if error is None:
            self.families, self.is_up, good_for = task.result(), True, self._source.fresh_for
        else:
            # No numbers are better than old ones, which a reader would take for current.
            logger.warning("metrics_unread", source=self.name, error=type(error).__name__)
            self.families, self.is_up, good_for = (), False, min(self._source.fresh_for, AGAIN)
        self._fresh_until = time.monotonic() + good_for

    async def _read(self) -> Sequence[Metric]:
        return await self._source.read()


def _error_of(task: asyncio.Task[Sequence[Metric]]) -> BaseException | None:
    # Cancelled by `store_result` at the time limit.
    if not task.done() or task.cancelled():
        return TimeoutError()
    return task.exception()


def _retrieve(task: asyncio.Task[Sequence[Metric]]) -> None:
    """Retrieve the exception of an abandoned task, because asyncio logs exceptions that are never retrieved."""
    if not task.cancelled():
        task.exception()
