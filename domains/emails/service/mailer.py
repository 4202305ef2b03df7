"""Accepting mails."""

from dataclasses import replace
from uuid import UUID

from domains.emails.errors import HeaderRefused
from domains.emails.job_types import DELIVER, DeliverEmail
from domains.emails.models import Email
from domains.emails.public import OutgoingMail, PreparedMail
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.mime import (
    BuiltMime,
    as_header,
    build_mime,
    default_sender,
    mail_host,
    parse_recipient,
)
from domains.emails.service.rendering import Rendered, Renderer
from domains.emails.service.stores import EmailStore
from domains.emails.settings import EmailsSettings, parse_sender
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.events import Resource
from shared.ids import new_id
from shared.jobs import JobOptions, JobType, Outbox
from shared.logging import get_logger
from shared.trace import current_trace

logger = get_logger(__name__)


class MailerService:
    """The `Mailer` of `domains.emails.public`."""

    def __init__(
        self,
        *,
        emails: EmailStore,
        transaction: TransactionFactory,
        outbox: Outbox,
        clock: Clock,
        renderer: Renderer,
        encryption: MailEncryption,
        settings: EmailsSettings,
        public_url: str,
    ) -> None:
        self._emails = emails
        self._transaction = transaction
        self._outbox = outbox
        self._clock = clock
        self._renderer = renderer
        self._encryption = encryption
        self._host = mail_host(public_url)
        given = settings.emails_sender
        self._sender = (
            parse_sender(given) if given else default_sender(settings.emails_product_name, self._host)
        )

    def prepare(self, mail: OutgoingMail) -> PreparedMail:
        """Render and build a mail; see `Mailer.prepare`."""
        email_id = new_id()
        rendered = self._renderer.render(mail.template, mail.variables, locale=mail.locale)
        built = self._try_build_mime(mail, rendered, email_id)
        simplified = built is None
        if built is None:
            # A warning must reach people whatever they are called; an operator learns that it wasn't written in full.
            logger.error("mail_simplified", email_id=str(email_id), template=mail.template)
            rendered = replace(rendered, subject=as_header(rendered.subject))
            built = self._build_mime(replace(mail, to_name=None, locale=None), rendered, email_id)
        recipient = built.recipient
        return PreparedMail(
            id=email_id,
            message_id=built.message_id,
            sender=self._sender.addr_spec,
            recipient=recipient.addr_spec,
            recipient_name=recipient.display_name or None,
            subject=rendered.subject,
            template=mail.template,
            owner_id=mail.owner_id,
            when_uncertain=mail.when_uncertain,
            category=mail.category,
            sensitive=mail.sensitive,
            simplified=simplified,
            encrypted_content=self._encryption.encrypt(built.content),
        )

    async def send(self, prepared: PreparedMail) -> UUID:
        """Accept the mail; see `Mailer.send`."""
        async with self._transaction():
            await self._emails.add(self._row_of(prepared))
            await self._outbox.enqueue(*delivery_of(prepared.id))
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
            sender=self._sender,
            recipient=parse_recipient(mail.to, mail.to_name),
            host=self._host,
            now=self._clock.now(),
            locale=mail.locale,
        )

    def _row_of(self, prepared: PreparedMail) -> Email:
        now = self._clock.now()
        return Email(
            id=prepared.id,
            message_id=prepared.message_id,
            sender=prepared.sender,
            recipient=prepared.recipient,
            recipient_name=prepared.recipient_name,
            subject=prepared.subject,
            template=prepared.template,
            category=prepared.category,
            sensitive=prepared.sensitive,
            simplified=prepared.simplified,
            when_uncertain=prepared.when_uncertain,
            owner_id=prepared.owner_id,
            request_id=current_trace().request_id,
            frozen=prepared.encrypted_content,
            created_at=now,
            updated_at=now,
        )


def delivery_of(email_id: UUID) -> tuple[JobType[DeliverEmail], DeliverEmail, JobOptions]:
    """Return the job that sends a mail, as `Outbox.enqueue` takes it."""
    # Without an owner: whoever can cancel this job could keep a warning from the person it is meant for.
    options = JobOptions(unique_key=str(email_id), resource=Resource(type="email", id=email_id))
    return DELIVER, DeliverEmail(email_id=email_id), options
