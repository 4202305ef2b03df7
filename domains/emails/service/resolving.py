"""Resolution of uncertain mails by an administrator."""

from dataclasses import dataclass
from uuid import UUID

from domains.emails.errors import EmailNotFound, EmailNotOnHold, EmailTooOld, MailGivenUp
from domains.emails.models import Email
from domains.emails.public import EmailFailed, EmailSent, EmailStatus
from domains.emails.repository import EmailRepository
from domains.emails.schemas import EmailBody, Resolution
from domains.emails.service.mailer import delivery_of, is_being_delivered
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


@dataclass(kw_only=True, eq=False)
class ResolutionService:
    """Applies an administrator's decision about an uncertain mail."""

    repository: EmailRepository
    jobs: Jobs
    transaction: TransactionFactory
    outbox: Outbox
    clock: Clock
    settings: EmailsSettings
    audit: AuditLog

    async def resolve(self, email_id: UUID, resolution: Resolution, actor: Actor) -> EmailBody:
        """Resolve an uncertain mail and return its new state.

        Raises:
            EmailNotFound: no mail has this id.
            EmailNotOnHold: the mail is not uncertain, or a job is still retrying it.
            EmailTooOld: the mail can't be sent any more.
        """
        async with self.transaction():
            email, now = await self._on_hold(email_id), self.clock.now()
            if resolution == "resend":
                if email.created_at < now - self.settings.give_up_after:
                    raise EmailTooOld
                email.queue_again(now)
                await self.outbox.enqueue(*delivery_of(email_id))
            elif resolution == "sent":
                email.confirm_sent(now)
                await self.outbox.publish(EmailSent(email_id=email_id, owner_id=email.owner_id))
            else:
                email.fail(problem_of(MailGivenUp()), now)
                failed = EmailFailed(email_id=email_id, owner_id=email.owner_id, code=MailGivenUp.code)
                await self.outbox.publish(failed)
            await self.repository.save(email)
            await self.audit.note(
                RESOLVED, actor, user_id=email.owner_id, email_id=str(email_id), resolution=resolution
            )
            resolved = EmailBody.model_validate(email)
        logger.info(RESOLVED, email_id=str(email_id), resolution=resolution, **actor.details)
        return resolved

    async def _on_hold(self, email_id: UUID) -> Email:
        """Return the locked mail. A job that is about to deliver it waits for the lock and sees the decision."""
        email = await self.repository.lock(email_id)
        if email is None:
            raise EmailNotFound
        if email.status != EmailStatus.UNCERTAIN or await is_being_delivered(self.jobs, email_id):
            raise EmailNotOnHold(status=email.status)
        return email
