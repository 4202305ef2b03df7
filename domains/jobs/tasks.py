"""What the jobs domain does by the clock."""

from datetime import timedelta

from domains.jobs.service.jobs import JobService
from shared.jobs import JobContext, NoPayload, job


@job("jobs.prune", every=timedelta(hours=1), timeout=600)
async def prune(_payload: NoPayload, context: JobContext) -> None:
    """Forget jobs that ended long ago."""
    forgotten = await context.provide("jobs.service", JobService).prune()
    await context.finish({"forgotten": forgotten})
