"""Follows jobs for event streams, with one periodic query for all streams."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from domains.jobs.repository.jobs import JobRepository
from domains.jobs.schemas import JobRow
from shared.background import BackgroundLoop

LOOKS = BackgroundLoop("jobs.watch")
PAUSE = 0.3
"""Seconds between two queries of the watched jobs."""


@dataclass(eq=False)
class JobWatcher:
    """One for each API process. Polls only while there are watchers."""

    jobs: JobRepository

    def __post_init__(self) -> None:
        self._watched: Counter[UUID] = Counter()
        self._latest: dict[UUID, JobRow | None] = {}
        self._changes: dict[UUID, asyncio.Event] = {}
        self._poller: asyncio.Task[None] | None = None

    async def follow(self, job: JobRow, *, after_revision: int = 0) -> AsyncGenerator[JobRow]:
        """Yield the job if it is newer than `after_revision`, then at each change until its end or deletion."""
        seen = after_revision
        self._watched[job.id] += 1
        self._learn(job.id, job)
        self._ensure_poller()
        try:
            current: JobRow | None = job
            while current is not None:
                if current.revision > seen:
                    seen = current.revision
                    yield current
                if current.is_over:
                    return
                current = await self._changed(job.id, seen)
        finally:
            self._leave(job.id)

    async def _changed(self, job_id: UUID, seen: int) -> JobRow | None:
        while True:
            latest = self._latest.get(job_id)
            if latest is None or latest.revision > seen or latest.is_over:
                return latest
            await self._changes.setdefault(job_id, asyncio.Event()).wait()

    def _leave(self, job_id: UUID) -> None:
        self._watched[job_id] -= 1
        if self._watched[job_id] <= 0:
            del self._watched[job_id]
            self._latest.pop(job_id, None)
            self._changes.pop(job_id, None)

    def _ensure_poller(self) -> None:
        if self._poller is None or self._poller.done():
            self._poller = LOOKS.start(
                self._look, pause=PAUSE, delay=PAUSE, should_continue=lambda: bool(self._watched)
            )

    async def _look(self) -> None:
        watched = list(self._watched)
        found = {job.id: job for job in await self.jobs.find_many(watched)}
        for job_id in watched:
            self._learn(job_id, found.get(job_id))

    def _learn(self, job_id: UUID, job: JobRow | None) -> None:
        """Record what was read of a job; None: it was deleted.

        While a query runs, a new stream may add a job that it did not ask for, or a newer state of one.
        """
        known = self._latest.get(job_id)
        is_older = job is not None and known is not None and job.revision < known.revision
        if job_id not in self._watched or is_older:
            return
        self._latest[job_id] = job
        is_changed = job is None or known is None or job.revision > known.revision
        if is_changed and job_id in self._changes:
            self._changes.pop(job_id).set()  # wakes only the streams of this job

    async def stop(self) -> None:
        """End the poller."""
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller
