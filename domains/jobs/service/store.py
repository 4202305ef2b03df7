"""Writes the jobs of all domains: implements `shared.jobs.JobStore`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domains.jobs.errors import PayloadTooLarge, TooManyJobs
from domains.jobs.gateway.wake_ups import WakeUps
from domains.jobs.repository.jobs import JobRepository
from domains.jobs.settings import JobsSettings
from shared.db.transaction import after_commit
from shared.jobs import NewJob

TOO_MANY_PAUSE = 30.0
"""Seconds after which an owner with too many jobs may try again."""


@dataclass(eq=False)
class RowJobStore:
    """Writes jobs in the open transaction, and sends their wake-ups once it has committed."""

    rows: JobRepository
    wake_ups: WakeUps
    settings: JobsSettings
    # Replaced by `tools/faults/switches.py`, to show that a wake-up before the commit is detected.
    when_committed: Callable[[Callable[[], None]], None] = after_commit

    async def add(self, jobs: Sequence[NewJob]) -> list[UUID]:
        """Write jobs; return their ids, or those of unfinished duplicates with the same unique key.

        Raises:
            PayloadTooLarge: a payload is past `jobs_payload_bytes`.
            TooManyJobs: the owner has `jobs_owner_waiting` jobs waiting already.
        """
        return [await self._add(job) for job in jobs]

    async def _add(self, job: NewJob) -> UUID:
        if len(json.dumps(job.payload).encode()) > self.settings.jobs_payload_bytes:
            raise PayloadTooLarge(limit=self.settings.jobs_payload_bytes)
        tried = False
        while True:
            job_id = await self.rows.insert_job(job, most=self.settings.jobs_owner_waiting)
            if job_id is not None:
                if job.run_at is None:
                    self.when_committed(partial(self.wake_ups.send_soon, job.queue, job_id))
                return job_id
            if job.unique_key is None:
                raise TooManyJobs(limit=self.settings.jobs_owner_waiting, retry_after=TOO_MANY_PAUSE)
            duplicate = await self.rows.unfinished_duplicate(job.kind, job.unique_key)
            if duplicate is not None:
                return duplicate
            if tried:
                raise TooManyJobs(limit=self.settings.jobs_owner_waiting, retry_after=TOO_MANY_PAUSE)
            tried = True  # the duplicate may have ended meanwhile: then this job is written after all
