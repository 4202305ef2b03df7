"""Acceptance of mails."""

from dataclasses import asdict, dataclass, replace
from email.headerregistry import Address
from uuid import UUID

from domains.emails.errors import HeaderRefused
from domains.emails.job_types import DELIVER, DeliverEmail
from domains.emails.models import Email
from domains.emails.public import OutgoingMail, PreparedMail
from domains.emails.repository import EmailRepository
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.mime import BuiltMime, as_header, build_mime, parse_recipient
from domains.emails.service.rendering import Rendered, Renderer
from domains.jobs.public import Jobs
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.events import Resource
from shared.ids import new_id
from shared.jobs import JobOptions, JobType, Outbox
from shared.logging import get_logger
from shared.trace import current_trace

logger = get_logger(__name__)


@dataclass(kw_only=True, eq=False)
class MailerService:
    """Implements `Mailer`. `host` is the domain of Message-IDs."""

    repository: EmailRepository
    transaction: TransactionFactory
    outbox: Outbox
    clock: Clock
    renderer: Renderer
    encryption: MailEncryption
    sender: Address
    host: str

    def prepare(self, mail: OutgoingMail) -> PreparedMail:
        """Render and build a mail; see `Mailer.prepare`."""
        # Made before the row, because the Message-ID contains it.
        email_id = new_id()
        rendered = self.renderer.render(mail.template, mail.variables, locale=mail.locale)
        built = self._try_build_mime(mail, rendered, email_id)
        simplified = built is None
        if built is None:
            # A security warning must be delivered whatever the person's name is. The log tells an operator.
            logger.error("mail_simplified", email_id=str(email_id), template=mail.template)
            rendered = replace(rendered, subject=as_header(rendered.subject))
            built = self._build_mime(replace(mail, to_name=None, locale=None), rendered, email_id)
        recipient = built.recipient
        return PreparedMail(
            id=email_id,
            message_id=built.message_id,
            sender=self.sender.addr_spec,
            recipient=recipient.addr_spec,
            recipient_name=recipient.display_name or None,
            subject=rendered.subject,
            template=mail.template,
            owner_id=mail.owner_id,
            when_uncertain=mail.when_uncertain,
            category=mail.category,
            sensitive=mail.sensitive,
            simplified=simplified,
            encrypted_content=self.encryption.encrypt(built.content),
        )

    async def send(self, prepared: PreparedMail) -> UUID:
        """Accept the mail; see `Mailer.send`."""
        async with self.transaction():
            await self.repository.insert(self._row_of(prepared))
            await self.outbox.enqueue(*delivery_of(prepared.id))
        return prepared.id

    def _try_build_mime(self, mail: OutgoingMail, rendered: Rendered, email_id: UUID) -> BuiltMime | None:
        try:
            return self._build_mime(mail, rendered, email_id)
        except HeaderRefused:
            return None

    def _build_mime(self, mail: OutgoingMail, rendered: Rendered, email_id: UUID) -> BuiltMime:
        return build_mime(
            rendered,
            email_id=email_id,
            sender=self.sender,
            recipient=parse_recipient(mail.to, mail.to_name),
            host=self.host,
            now=self.clock.now(),
            locale=mail.locale,
        )

    def _row_of(self, prepared: PreparedMail) -> Email:
        values, now = asdict(prepared), self.clock.now()
        content = values.pop("encrypted_content")
        request_id = current_trace().request_id
        return Email(frozen=content, request_id=request_id, created_at=now, updated_at=now, **values)


def delivery_of(email_id: UUID) -> tuple[JobType[DeliverEmail], DeliverEmail, JobOptions]:
    """Return the job that sends a mail, as `Outbox.enqueue` takes it."""
    # Without an owner: an owner can cancel the job, and an attacker in an account must not stop a security warning.
    options = JobOptions(unique_key=str(email_id), resource=Resource(type="email", id=email_id))
    return DELIVER, DeliverEmail(email_id=email_id), options


async def is_being_delivered(jobs: Jobs, email_id: UUID) -> bool:
    """Return whether a mail has an unfinished delivery job."""
    return any(job.kind == DELIVER.kind for job in (await jobs.of_resources([email_id]))[email_id])
