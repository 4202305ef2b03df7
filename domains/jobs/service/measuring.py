"""Background work in numbers, for monitoring: by queue and kind, never by owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domains.jobs.repository.durations import DurationRepository
from domains.jobs.service.operations import OperationsService
from shared.measures import Measure

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds in seconds of the buckets of durations; one more bucket holds what took longer."""

_STATES = ("scheduled", "queued", "running", "retrying")


@dataclass(eq=False)
class JobMeasures:
    """Implements `shared.measures.Measures`. One for each process.

    It counts ends and expired leases since its first scrape. Each process counts those of the whole installation.
    """

    fresh_for = 5.0

    operations: OperationsService
    durations: DurationRepository

    def __post_init__(self) -> None:
        self._expired = 0
        self._expired_until: datetime | None = None
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._ended_until: datetime | None = None

    async def measure(self) -> Sequence[Measure]:
        """Return metrics of waiting, ended and failed jobs, and of workers."""
        load = await self.operations.load()
        crashes = await self.operations.crashes(self._expired_until)
        self._expired += crashes.number
        self._expired_until = crashes.until
        await self._count_ended()
        return [
            Measure(
                "tulou_jobs",
                "Jobs that have not ended.",
                [((row.queue, state), getattr(row, state)) for row in load.queues for state in _STATES],
                ("queue", "state"),
            ),
            Measure(
                "tulou_jobs_oldest_due_seconds",
                "Waiting time of the oldest due job.",
                [((row.queue,), row.oldest_due_seconds) for row in load.queues],
                ("queue",),
            ),
            Measure(
                "tulou_workers",
                "Workers with a heartbeat in the last 35 seconds.",
                [((row.queue,), row.workers) for row in load.queues],
                ("queue",),
            ),
            Measure("tulou_relays", "Relays with a heartbeat in the last 35 seconds.", [((), load.relays)]),
            Measure(
                "tulou_jobs_failed",
                "Jobs that failed in the last 24 hours and were not retried.",
                [((kind,), number) for kind, number in load.failed_by_kind.items()],
                ("kind",),
            ),
            Measure(
                "tulou_relay_lag_seconds",
                "Time by which the relay is behind.",
                [((), load.relay_lag_seconds)],
            ),
            Measure(
                "tulou_jobs_leases_expired_total",
                "Expired leases of silent workers. Every API process counts all of them.",
                [((), self._expired)],
                is_counter=True,
            ),
            Measure(
                "tulou_job_duration_seconds",
                "Duration of the last attempts of ended jobs. Every API process counts all of them.",
                list(self._seconds.items()),
                ("kind", "state"),
                bounds=BOUNDS,
                counts=list(self._counts.values()),
            ),
        ]

    async def _count_ended(self) -> None:
        until = await self.durations.until()
        since, self._ended_until = self._ended_until or until, until
        for row in await self.durations.ended(since=since, until=until, bounds=BOUNDS):
            labels = (row.kind, row.state.value)
            self._counts.setdefault(labels, [0] * (len(BOUNDS) + 1))[row.bucket] += row.number
            self._seconds[labels] = self._seconds.get(labels, 0.0) + row.seconds
