"""Handler of the job of the idempotency domain."""

from domains.idempotency.job_types import PRUNE
from domains.idempotency.service import StoredResponseService
from shared.jobs import JobContext, NoPayload


@PRUNE.handler
async def prune(_payload: NoPayload, context: JobContext) -> None:
    """Delete expired responses."""
    forgotten = await context.provide("idempotency.service", StoredResponseService).prune()
    await context.finish({"forgotten": forgotten})
