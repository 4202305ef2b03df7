"""Metrics of background work: names of queues and kinds, and numbers; no personal data."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from bootstrap.observability.families import gauge
from domains.jobs.repository.durations import Ended
from domains.jobs.repository.reports import CrashCount
from domains.jobs.service.operations import Load, QueueStatistics

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds; one more bucket holds whatever took longer."""


class Operations(Protocol):
    """The part of `OperationsService` that metrics use."""

    async def load(self) -> Load:
        """Return what there is to do, and what went wrong."""
        ...

    async def crashes(self, since: datetime | None) -> CrashCount:
        """Count the leases that were taken back since a moment; None: begin to count."""
        ...


class Durations(Protocol):
    """The part of `DurationRepository` that metrics use."""

    async def until(self) -> datetime:
        """Return the time up to which all ends of jobs are known."""
        ...

    async def ended(self, *, since: datetime, until: datetime, bounds: Sequence[float]) -> list[Ended]:
        """Count the jobs that ended in between."""
        ...


class JobMetrics:
    """One for each API process, which counts all ends and expired leases since its first scrape."""

    fresh_for = 5.0

    def __init__(self, operations: Operations, durations: Durations) -> None:
        self._operations = operations
        self._durations = durations
        self._expired = 0
        self._expired_until: datetime | None = None
        self._ended: dict[tuple[str, str], _Ended] = {}
        self._ended_until: datetime | None = None

    async def read(self) -> Sequence[Metric]:
        """Ask the database."""
        load = await self._operations.load()
        crashes = await self._operations.crashes(self._expired_until)
        self._expired += crashes.number
        self._expired_until = crashes.until
        await self._count_ended()
        return list(self._families(load))

    async def _count_ended(self) -> None:
        until = await self._durations.until()
        # Counting starts with the first scrape: Prometheus' counters need no history.
        since, self._ended_until = self._ended_until or until, until
        for row in await self._durations.ended(since=since, until=until, bounds=BOUNDS):
            self._ended.setdefault((row.kind, row.state.value), _Ended()).add(row)

    def _families(self, load: Load) -> Iterator[Metric]:
        queues = load.queues
        yield gauge("tulou_jobs", "Jobs that have not ended.", ["queue", "state"], _by_state(queues))
        yield gauge(
            "tulou_jobs_oldest_due_seconds",
            "Waiting time of the oldest due job.",
            ["queue"],
            [([row.queue], row.oldest_due_seconds) for row in queues],
        )
        yield gauge(
            "tulou_workers",
            "Workers with a heartbeat in the last 35 seconds.",
            ["queue"],
            [([row.queue], row.workers) for row in queues],
        )
        yield gauge(
            "tulou_relays", "Relays with a heartbeat in the last 35 seconds.", [], [([], load.relays)]
        )
        yield gauge(
            "tulou_jobs_failed",
            "Jobs that failed in the last 24 hours and were not retried.",
            ["kind"],
            [([kind], number) for kind, number in load.failed_by_kind.items()],
        )
        yield gauge(
            "tulou_relay_lag_seconds",
            "Time by which the relay is behind.",
            [],
            [([], load.relay_lag_seconds)],
        )
        yield CounterMetricFamily(
            "tulou_jobs_leases_expired",
            "Expired leases of silent workers. Every API process counts all of them.",
            value=self._expired,
        )
        took = HistogramMetricFamily(
            "tulou_job_duration_seconds",
            "Duration of the last attempts of ended jobs. Every API process counts all of them.",
            labels=["kind", "state"],
        )
        for of, ended in self._ended.items():
            took.add_metric(of, ended.buckets(), sum_value=ended.seconds)
        yield took


class _Ended:
    """Jobs of one kind that ended alike."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, row: Ended) -> None:
        self._counts[row.bucket] += row.number
        self.seconds += row.seconds

    def buckets(self) -> list[tuple[str, float]]:
        return cumulative(BOUNDS, self._counts)


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return a histogram's buckets as Prometheus wants them: each with all that took less."""
    return list(zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True))


def _by_state(queues: list[QueueStatistics]) -> Iterator[tuple[list[str], float]]:
    for row in queues:
        for state in ("scheduled", "queued", "running", "retrying"):
            yield [row.queue, state], getattr(row, state)
