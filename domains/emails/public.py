"""What other domains may see of mail: how to send one, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from shared.events import Event


class EmailStatus(StrEnum):
    """Where a mail is on its way."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SUPPRESSED = "suppressed"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WhenUncertain(StrEnum):
    """What to do when the connection broke after the last byte, so that nobody knows whether the mail was taken.

    SMTP can't tell (RFC 1047): either somebody may get it twice, or somebody may not get it.
    """

    RESEND = "resend"
    """Send the same bytes with the same Message-ID again: for mails that must arrive and may arrive twice."""

    HOLD = "hold"
    """Stop and let an administrator decide."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail to be written from a template of the calling domain.

    Args:
        template: folder and name, `auth/verify_email`: the domain's templates folder has `verify_email.html` (it
            extends `emails/layout.html`) and `verify_email.txt` (with the blocks `subject` and `body`), and for a
            language of their own `verify_email.de.html` and `verify_email.de.txt`.
        to: exactly one address, without a display name.
        to_name: the display name.
        variables: what the templates name; one that is missing is an error, never an empty place.
        locale: a language tag, `de` or `de-AT`; where there is no such template the one without a language is taken.
        owner_id: whose personal data the mail is; it is erased with that person's account.
        when_uncertain: see `WhenUncertain`.
        category: what the mail is about, for lists and statistics, e.g. `security`.
        sensitive: the mail holds a one-time secret: its content is never shown again.
    """

    template: str
    to: str
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    to_name: str | None = None
    locale: str | None = None
    owner_id: UUID | None = None
    when_uncertain: WhenUncertain = WhenUncertain.HOLD
    category: str | None = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class PreparedMail:
    """A rendered mail as a MIME message: every attempt sends exactly these bytes.

    `simplified`: it has no display name, because a header could not be written as it was.
    """

    id: UUID
    message_id: str
    sender: str
    recipient: str
    recipient_name: str | None
    subject: str
    template: str
    owner_id: UUID | None
    when_uncertain: WhenUncertain
    category: str | None
    sensitive: bool
    simplified: bool
    encrypted_content: bytes = field(repr=False)


class Mailer(Protocol):
    """Accepts mails. An accepted mail is sent by a worker, however long the mail server is away."""

    def prepare(self, mail: OutgoingMail) -> PreparedMail:
        """Render and build a mail: pure computing of a few milliseconds, to be done before a transaction opens.

        Raises:
            AddressRefused: 422, the recipient isn't exactly one address. A display name or a subject that can't be
                written is no error: the mail goes without it, and an operator is told.
            LookupError: there is no such template.
            jinja2.UndefinedError: the template names a variable that was not given.
        """
        ...

    async def send(self, prepared: PreparedMail) -> UUID:
        """Accept the mail in the open transaction (or in one of its own) and return its id.

        It is sent after the commit, and never if the transaction rolls back.
        """
        ...


class EmailSent(Event):
    """The mail server has taken over responsibility for a mail."""

    about = "email"
    email_id: UUID


class EmailFailed(Event):
    """A mail was given up: the mail server refused it for good, or put it off for too long."""

    about = "email"
    email_id: UUID
    code: str
