"""Jobs that end without their handler: how their domain is told, and how they are cancelled."""

from uuid import UUID

from domains.jobs.models import JobState
from domains.jobs.public import JobAbandoned
from domains.jobs.repository.jobs import JobRepository
from domains.jobs.schemas import ClaimedJob, JobRow, LostRow
from shared.database import TransactionFactory
from shared.jobs import Outbox


def abandoned(job: JobRow | LostRow | ClaimedJob) -> JobAbandoned:
    """Return the event that tells of a job's end."""
    return JobAbandoned(
        job_id=job.id, kind=job.kind, resource_type=job.resource_type, resource_id=job.resource_id
    )


class JobCanceller:
    """Ends waiting jobs, and asks running ones to stop."""

    def __init__(self, *, jobs: JobRepository, outbox: Outbox, transaction: TransactionFactory) -> None:
        self._jobs = jobs
        self._outbox = outbox
        self._transaction = transaction

    async def cancel(self, job_id: UUID) -> JobRow | None:
        """Return the job as it is now; None: it is over.

        Of one that ended without having run its domain is told: nobody else would settle what it was about.
        """
        async with self._transaction():
            job = await self._jobs.cancel(job_id)
            if job is not None and job.state is JobState.CANCELLED:
                await self._outbox.publish(abandoned(job))
        return job
