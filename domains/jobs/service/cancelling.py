"""Cancels jobs, and publishes the event for jobs that end without their handler."""

from dataclasses import dataclass
from uuid import UUID

from domains.jobs.models import JobState
from domains.jobs.public import JobAbandoned
from domains.jobs.repository.jobs import JobRepository
from domains.jobs.schemas import ClaimedJob, JobRow, LostRow
from shared.db.database import TransactionFactory
from shared.jobs import Outbox


async def publish_job_abandoned(
    outbox: Outbox, job: JobRow | LostRow | ClaimedJob, *, was_cancelled: bool
) -> None:
    """Publish that a job ended, in the open transaction.

    Not for jobs that react to this event: if they failed, they would cause each other without end.
    """
    if outbox.does_cause(JobAbandoned, job.kind):
        return
    await outbox.publish(
        JobAbandoned(
            job_id=job.id,
            kind=job.kind,
            resource_type=job.resource_type,
            resource_id=job.resource_id,
            was_cancelled=was_cancelled,
        )
    )


@dataclass(eq=False)
class JobCanceller:
    """Cancels waiting jobs, and requests running ones to stop."""

    jobs: JobRepository
    outbox: Outbox
    transaction: TransactionFactory

    async def cancel(self, job_id: UUID) -> JobRow | None:
        """Return the job as it is now; None if it had ended before.

        If it ended here, its domain gets the event, because no handler will reconcile its resource.
        """
        async with self.transaction():
            job = await self.jobs.cancel(job_id)
            if job is not None and job.state is JobState.CANCELLED:
                await publish_job_abandoned(self.outbox, job, was_cancelled=True)
        return job
