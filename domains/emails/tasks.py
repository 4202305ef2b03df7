"""The jobs of mail."""

from datetime import timedelta

from domains.emails.schemas import DeliverEmail
from domains.emails.service.delivery import DeliveryService
from domains.emails.service.mailer import DELIVER
from domains.emails.service.retention import RetentionService
from domains.jobs.public import JobAbandoned
from shared.jobs import JobContext, NoPayload, job

_PATH = "emails.delivery"


# Thirty attempts, six hours apart at the most, cover the five days that a mail is worth trying.
@job("emails.deliver", queue="mail", max_attempts=30, timeout=120)
async def deliver(payload: DeliverEmail, context: JobContext) -> None:
    """Send an accepted mail."""
    await context.provide(_PATH, DeliveryService).deliver(payload.email_id, context)


@job("emails.settle", on=JobAbandoned, timeout=60)
async def reconcile(payload: JobAbandoned, context: JobContext) -> None:
    """Say what became of a mail when the job that sent it was cancelled or failed."""
    if payload.kind == DELIVER and payload.resource_id is not None:
        service = context.provide(_PATH, DeliveryService)
        await service.reconcile(payload.resource_id, was_cancelled=payload.was_cancelled)


@job("emails.expire", every=timedelta(hours=1))
async def expire(_payload: NoPayload, context: JobContext) -> None:
    """Give up mails that are too old and that no job works on."""
    await context.provide(_PATH, DeliveryService).expire()


@job("emails.prune", every=timedelta(hours=1), timeout=300)
async def prune(_payload: NoPayload, context: JobContext) -> None:
    """Delete mails that ended long ago."""
    await context.provide("emails.retention", RetentionService).prune()
