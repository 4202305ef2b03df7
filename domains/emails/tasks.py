"""Handlers of the jobs of mail."""

from domains.emails.job_types import DELIVER, EXPIRE, PRUNE, RECONCILE, DeliverEmail
from domains.emails.service.delivery import DeliveryService
from domains.emails.service.emails import EmailService
from domains.jobs.public import JobAbandoned
from shared.jobs import JobContext, NoPayload

_PATH = "emails.delivery"


@DELIVER.handler
async def deliver(payload: DeliverEmail, context: JobContext) -> None:
    """Send an accepted mail."""
    await context.provide(_PATH, DeliveryService).deliver(payload.email_id, context)


@RECONCILE.handler
async def reconcile(payload: JobAbandoned, context: JobContext) -> None:
    """Set the state of a mail whose delivery was cancelled or failed."""
    if payload.kind == DELIVER.kind and payload.resource_id is not None:
        service = context.provide(_PATH, DeliveryService)
        await service.reconcile(payload.resource_id, was_cancelled=payload.was_cancelled)


@EXPIRE.handler
async def expire(_payload: NoPayload, context: JobContext) -> None:
    """Give up mails that are too old and have no job."""
    await context.provide(_PATH, DeliveryService).expire()


@PRUNE.handler
async def prune(_payload: NoPayload, context: JobContext) -> None:
    """Delete mails that ended long ago."""
    await context.provide("emails.service", EmailService).prune()
