"""What the idempotency domain does by the clock."""

from datetime import timedelta

from domains.idempotency.service import StoredResponseService
from shared.jobs import JobContext, NoPayload, job


@job("idempotency.prune", every=timedelta(hours=1), timeout=600)
async def prune(_payload: NoPayload, context: JobContext) -> None:
    """Forget answers that nobody can ask for any more."""
    forgotten = await context.provide("idempotency.service", StoredResponseService).prune()
    await context.finish({"forgotten": forgotten})
