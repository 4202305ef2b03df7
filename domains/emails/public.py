"""Public API: how to send a mail, and the events about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from shared.events import Event


class EmailStatus(StrEnum):
    """The state of a mail."""

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
    """What to do if the connection broke after the last byte, so that the server may have accepted the mail.

    SMTP can't tell (RFC 1047): to send it again may deliver it twice, not to send it may lose it.
    """

    RESEND = "resend"
    """Send the same bytes with the same Message-ID again: for mails that must arrive and may arrive twice."""

    HOLD = "hold"
    """Wait for an administrator's decision."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail to be rendered from a template of the calling domain.

    Args:
        template: folder and name, `auth/verify_email`: the domain's templates folder has `verify_email.html` (it
            extends `emails/layout.html`) and `verify_email.txt` (with the blocks `subject` and `body`), and for another
            language `verify_email.de.html` and `verify_email.de.txt`.
        to: exactly one address, without a display name.
        to_name: the display name.
        variables: the variables of the templates; a missing one is an error.
        locale: a language tag, `de` or `de-AT`; without such a template the one without a language is used.
        owner_id: the person whose personal data the mail is; it is erased with their account.
        when_uncertain: see `WhenUncertain`.
        category: for lists and statistics, e.g. `security`.
        sensitive: the mail holds a one-time secret; its content is never shown.
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

    `simplified`: it has no display name, because no header can hold that name.
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
    """Accepts mails. A worker sends each, however long the mail server is unreachable."""

    def prepare(self, mail: OutgoingMail) -> PreparedMail:
        """Render and build a mail. Takes a few milliseconds of CPU: call it before a transaction opens.

        Raises:
            AddressRefused: 422, the recipient is not exactly one address. A display name or a subject that no header
                can hold is no error: the mail is sent without it, and an error is logged.
            LookupError: there is no such template.
            jinja2.UndefinedError: a variable of the template is missing.
        """
        ...

    async def send(self, prepared: PreparedMail) -> UUID:
        """Accept the mail in the open transaction, or in its own, and return its id. It is sent after the commit."""
        ...


class EmailSent(Event):
    """The mail server accepted a mail."""

    about = "email"
    email_id: UUID


class EmailFailed(Event):
    """A mail was given up: the mail server refused it, or deferred it for too long."""

    about = "email"
    email_id: UUID
    code: str
