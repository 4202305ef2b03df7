"""Operations of owners on their jobs."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from domains.jobs.errors import JobIsOver, JobNotFound, JobNotRetryable, TooManyJobs
from domains.jobs.gateway.wake_ups import WakeUps
from domains.jobs.models import JobState
from domains.jobs.public import JobSummary
from domains.jobs.repository.jobs import JobRepository
from domains.jobs.schemas import JobBody, JobRow, Retention, body_of
from domains.jobs.service.cancelling import JobCanceller
from domains.jobs.service.store import TOO_MANY_PAUSE
from domains.jobs.settings import JobsSettings
from shared.db.database import TransactionFactory
from shared.db.pagination import Page, PageRequest
from shared.db.transaction import after_commit
from shared.errors import AppError
from shared.identity import Principal

PRUNE_BATCH = 1000


@dataclass(eq=False)
class JobService:
    """Lists, reads, cancels and retries jobs; implements `public.Jobs`."""

    jobs: JobRepository
    transaction: TransactionFactory
    wake_ups: WakeUps
    canceller: JobCanceller
    settings: JobsSettings
    resource_urls: dict[str, str]

    def __post_init__(self) -> None:
        self._retention = Retention(
            succeeded=timedelta(days=self.settings.jobs_keep_succeeded_days),
            cancelled=timedelta(days=self.settings.jobs_keep_cancelled_days),
            failed=timedelta(days=self.settings.jobs_keep_failed_days),
        )

    async def page(
        self,
        caller: Principal,
        request: PageRequest,
        *,
        status: str | None,
        kind: str | None,
        resource_id: UUID | None,
    ) -> Page[JobRow]:
        """Return one page of the caller's jobs."""
        filters = {"kind": kind, "resource_id": resource_id}
        return await self.jobs.page_of_owner(caller.user_id, request, status=status, filters=filters)

    async def read(self, caller: Principal, job_id: UUID) -> JobRow:
        """Return a job of the caller. Administrators may read all.

        Raises:
            JobNotFound: there is no such job, or it has another owner.
        """
        job = await self.jobs.find(job_id)
        if job is None or (job.owner_id != caller.user_id and not caller.is_admin):
            raise JobNotFound
        return job

    async def cancel(self, caller: Principal, job_id: UUID) -> JobRow:
        """End a waiting job at once, or request a running one to stop.

        Raises:
            JobNotFound: there is no such job, or it has another owner.
            JobIsOver: it has ended already.
        """
        await self.read(caller, job_id)
        cancelled = await self.canceller.cancel(job_id)
        if cancelled is None:
            raise JobIsOver
        return cancelled

    async def retry(self, caller: Principal, job_id: UUID) -> JobRow:
        """Queue a failed or cancelled job again, with all its attempts.

        Raises:
            JobNotFound: there is no such job, or it has another owner.
            JobNotRetryable: it is in another state, or a duplicate is under way.
            TooManyJobs: its owner has `jobs_owner_waiting` jobs waiting already.
        """
        await self.read(caller, job_id)
        async with self.transaction():
            queued = await self.jobs.retry(job_id, most=self.settings.jobs_owner_waiting)
            if queued is None:
                raise await self._refusal(caller, job_id)
            after_commit(partial(self.wake_ups.send_soon, queued.queue, queued.id))
        return queued

    async def _refusal(self, caller: Principal, job_id: UUID) -> AppError:
        """Return the reason why a job can't be retried."""
        job = await self.read(caller, job_id)
        if job.state in {JobState.FAILED, JobState.CANCELLED}:
            return TooManyJobs(limit=self.settings.jobs_owner_waiting, retry_after=TOO_MANY_PAUSE)
        return JobNotRetryable()

    def body(self, job: JobRow) -> JobBody:
        """Return a job's body for clients."""
        return body_of(job, self._retention, self.resource_urls)

    async def of_resources(self, resource_ids: list[UUID]) -> dict[UUID, list[JobSummary]]:
        """Return the unfinished jobs of each resource."""
        found: dict[UUID, list[JobSummary]] = {resource_id: [] for resource_id in resource_ids}
        for job in await self.jobs.of_resources(resource_ids):
            if job.resource_id is not None:
                found[job.resource_id].append(_summary(job))
        return found

    async def summaries(self, job_ids: list[UUID]) -> list[JobSummary]:
        """Return these jobs, in this order."""
        found = {job.id: _summary(job) for job in await self.jobs.find_many(job_ids)}
        return [found[job_id] for job_id in job_ids if job_id in found]

    async def purge(self, owner_id: UUID) -> None:
        """Delete the jobs of an owner."""
        async with self.transaction():
            await self.jobs.purge_owner(owner_id)

    async def prune(self) -> int:
        """Delete jobs that ended longer ago than they are kept; return their number."""
        ages = {
            JobState.SUCCEEDED: self._retention.succeeded,
            JobState.CANCELLED: self._retention.cancelled,
            JobState.FAILED: self._retention.failed,
        }
        return sum([await self._prune(state, age) for state, age in ages.items()])

    async def _prune(self, state: JobState, age: timedelta) -> int:
        deleted = 0
        while True:
            batch = await self.jobs.prune(state, age=age, batch=PRUNE_BATCH)
            deleted += batch
            if batch < PRUNE_BATCH:
                return deleted


def _summary(job: JobRow) -> JobSummary:
    return JobSummary(id=job.id, kind=job.kind, status=job.status, url=f"/v1/jobs/{job.id}")
