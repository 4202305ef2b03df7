"""`GET /metrics`: background work as Prometheus sees it. Names of queues and kinds, and numbers; nobody's data."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request

from domains.jobs.service.operations import Load, OperationsService, QueueStatistics
from shared.http.routing import Router

FRESH = 5.0
"""Seconds for which an answer is given again, so that nobody's curiosity loads the database."""

router = Router(tags=["metrics"])


class JobMetrics(Collector):
    """One for each API process. It counts expired leases from its first answer on, and each process counts all."""

    def __init__(self, operations: OperationsService) -> None:
        self._operations = operations
        self._asking = asyncio.Lock()
        self._text = b""
        self._fresh_until = 0.0
        self._load = Load(queues=[], failed_by_kind={}, relay_lag_seconds=0)
        self._expired = 0
        self._counted_until: datetime | None = None

    async def text(self) -> bytes:
        """Return the metrics, at most five seconds old.

        Raises:
            DatabaseUnavailable: they are read from the database.
        """
        async with self._asking:
            if time.monotonic() >= self._fresh_until:
                await self._read()
                self._text = generate_latest(self)
                self._fresh_until = time.monotonic() + FRESH
        return self._text

    async def _read(self) -> None:
        self._load = await self._operations.load()
        crashes = await self._operations.crashes(self._counted_until)
        self._expired += crashes.number
        self._counted_until = crashes.until

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; `generate_latest` asks for them."""
        queues = self._load.queues
        yield _gauge("tulou_jobs", "Jobs that are not over.", ["queue", "state"], _by_state(queues))
        yield _gauge(
            "tulou_jobs_oldest_due_seconds",
            "How long the job has waited that is due longest.",
            ["queue"],
            [([row.queue], row.oldest_due_seconds) for row in queues],
        )
        yield _gauge(
            "tulou_workers",
            "Workers that were heard of within 35 seconds.",
            ["queue"],
            [([row.queue], row.workers) for row in queues],
        )
        yield _gauge(
            "tulou_jobs_failed",
            "Jobs that failed within the last 24 hours and were not started again.",
            ["kind"],
            [([kind], number) for kind, number in self._load.failed_by_kind.items()],
        )
        yield _gauge(
            "tulou_relay_lag_seconds",
            "How long the relay has left something undone.",
            [],
            [([], self._load.relay_lag_seconds)],
        )
        yield CounterMetricFamily(
            "tulou_jobs_leases_expired",
            "Leases of silent workers that were taken back. Every API process counts all of them.",
            value=self._expired,
        )


@router.get("/metrics", include_in_schema=False)
async def read_metrics(request: Request) -> Response:
    """Answer in Prometheus' text format."""
    metrics: JobMetrics = request.app.state.metrics
    return Response(await metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _gauge(
    name: str, meaning: str, labels: list[str], values: Iterable[tuple[list[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _by_state(queues: list[QueueStatistics]) -> Iterator[tuple[list[str], float]]:
    for row in queues:
        for state in ("scheduled", "queued", "running", "retrying"):
            yield [row.queue, state], getattr(row, state)
