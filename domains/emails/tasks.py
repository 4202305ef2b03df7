"""The jobs of mail."""

from datetime import timedelta

from domains.emails.schemas import DeliverEmail
from domains.emails.service.delivery import DeliveryService
from shared.jobs import JobContext, NoPayload, job

_PATH = "emails.delivery"


# Thirty attempts, six hours apart at the most, cover the five days that a mail is worth trying.
@job("emails.deliver", queue="mail", max_attempts=30, timeout=120)
async def deliver(payload: DeliverEmail, context: JobContext) -> None:
    """Send an accepted mail."""
    await context.provide(_PATH, DeliveryService).deliver(payload.email_id, context)


@job("emails.expire", every=timedelta(hours=1))
async def expire(_payload: NoPayload, context: JobContext) -> None:
    """Give up mails that are too old and that no job works on."""
    await context.provide(_PATH, DeliveryService).expire()
