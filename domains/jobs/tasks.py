"""Handler of the job of the jobs domain."""

from domains.jobs.job_types import PRUNE
from domains.jobs.service.jobs import JobService
from shared.jobs import JobContext, NoPayload


@PRUNE.handler
async def prune(_payload: NoPayload, context: JobContext) -> None:
    """Delete jobs that ended long ago."""
    forgotten = await context.provide("jobs.service", JobService).prune()
    await context.finish({"forgotten": forgotten})
