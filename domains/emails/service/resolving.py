"""Deciding about mails whose fate nobody knows."""

from datetime import timedelta
from uuid import UUID

from domains.emails.errors import EmailNotFound, EmailNotOnHold, EmailTooOld, MailGivenUp
from domains.emails.job_types import DELIVER
from domains.emails.models import Email
from domains.emails.public import EmailFailed, EmailSent, EmailStatus
from domains.emails.schemas import EmailRead, Resolution
from domains.emails.service.mailer import delivery_of
from domains.emails.service.stores import EmailStore
from domains.emails.settings import EmailsSettings
from domains.jobs.public import Jobs
from shared.audit import Actor, AuditLog
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.errors import problem_of
from shared.jobs import Outbox
from shared.logging import get_logger

logger = get_logger(__name__)
RESOLVED = "mail_resolved"


class ResolutionService:
    """Carries out what an administrator decides about an uncertain mail."""

    def __init__(
        self,
        *,
        emails: EmailStore,
        jobs: Jobs,
        transaction: TransactionFactory,
        outbox: Outbox,
        clock: Clock,
        settings: EmailsSettings,
        audit: AuditLog,
    ) -> None:
        self._emails = emails
        self._jobs = jobs
        self._transaction = transaction
        self._outbox = outbox
        self._clock = clock
        self._audit = audit
        self._give_up_after = timedelta(hours=settings.emails_give_up_hours)

    async def resolve(self, email_id: UUID, resolution: Resolution, actor: Actor) -> EmailRead:
        """Decide about an uncertain mail; return what it is now.

        Raises:
            EmailNotFound: there is none with this id.
            EmailNotOnHold: it isn't uncertain, or will be sent again without anybody's help.
            EmailTooOld: it can't be sent any more.
        """
        async with self._transaction():
            email = await self._on_hold(email_id)
            if resolution == "resend":
                await self._resend(email)
            elif resolution == "sent":
                await self._confirm_sent(email)
            else:
                await self._give_up(email)
            await self._emails.save(email)
            await self._audit.note(
                RESOLVED, actor, user_id=email.owner_id, email_id=str(email_id), resolution=resolution
            )
            resolved = EmailRead.model_validate(email)
        logger.info(RESOLVED, email_id=str(email_id), resolution=resolution, **actor.details)
        return resolved

    async def _on_hold(self, email_id: UUID) -> Email:
        """Return the mail, locked: a job that is about to take it up waits, and sees what was decided."""
        email = await self._emails.lock(email_id)
        if email is None:
            raise EmailNotFound
        if email.status != EmailStatus.UNCERTAIN:
            raise EmailNotOnHold(status=email.status)
        under_way = (await self._jobs.of_resources([email_id]))[email_id]
        if any(job.kind == DELIVER.kind for job in under_way):
            raise EmailNotOnHold(status=email.status)
        return email

    async def _resend(self, email: Email) -> None:
        now = self._clock.now()
        if email.created_at < now - self._give_up_after:
            raise EmailTooOld
        email.queue_again(now)
        await self._outbox.enqueue(*delivery_of(email.id))

    async def _confirm_sent(self, email: Email) -> None:
        email.confirm_sent(self._clock.now())
        await self._outbox.publish(EmailSent(email_id=email.id, owner_id=email.owner_id))

    async def _give_up(self, email: Email) -> None:
        email.fail(problem_of(MailGivenUp()), self._clock.now())
        await self._outbox.publish(
            EmailFailed(email_id=email.id, owner_id=email.owner_id, code=MailGivenUp.code)
        )
