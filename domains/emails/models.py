"""Tables of mails and of the attempts to deliver them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary, false, text
from sqlmodel import Field

from domains.emails.public import EmailStatus, WhenUncertain
from shared.db.models import Table, choice, jsonb, timestamp
from shared.ids import new_id

WAITING = (EmailStatus.SCHEDULED, EmailStatus.QUEUED, EmailStatus.SENDING, EmailStatus.DEFERRED)
"""States in which a mail still has to be delivered."""


class Phase(StrEnum):
    """Progress of the current SMTP session. Each phase is committed before it begins."""

    IDLE = "idle"
    CONNECT = "connect"
    ENVELOPE = "envelope"
    DATA = "data"


class Outcome(StrEnum):
    """How an SMTP session ended."""

    SENT = "sent"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    # The value is stored, so its older word is kept.
    PROTOCOL_ERROR = "garbled"
    UNCERTAIN = "uncertain"


class Step(StrEnum):
    """What a delivery job does next with a mail."""

    SEND = "send"
    HOLD = "hold"
    EXPIRE = "expire"
    NOTHING = "nothing"


class Email(Table, table=True):
    """A mail. `frozen` is its encrypted MIME message, erased when it can't be sent again."""

    __tablename__ = "emails"
    __table_args__ = (
        Index("ix_emails_created", "created_at", "id"),
        Index("ix_emails_status", "status", "created_at", "id"),
        Index("ix_emails_recipient", text("lower(recipient)"), "created_at", "id"),
        {"schema": "emails"},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    status: EmailStatus = choice(EmailStatus, EmailStatus.QUEUED)
    phase: Phase = choice(Phase, Phase.IDLE)
    recipient: str | None = None
    recipient_name: str | None = None
    sender: str
    subject: str | None = None
    template: str
    category: str | None = None
    sensitive: bool = False
    simplified: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    when_uncertain: WhenUncertain = choice(WhenUncertain, WhenUncertain.HOLD)
    message_id: str = Field(unique=True)
    frozen: bytes | None = Field(default=None, sa_type=LargeBinary)
    owner_id: UUID | None = Field(default=None, index=True)
    request_id: str | None = None
    attempts: int = 0
    last_reply: str | None = None
    error: dict[str, Any] | None = jsonb(nullable=True)
    created_at: datetime = timestamp(default_now=True)
    updated_at: datetime = timestamp(default_now=True)
    sent_at: datetime | None = timestamp(nullable=True)
    revision: int = 1

    @property
    def was_interrupted(self) -> bool:
        """Whether a session ended during DATA without a reply, so that the mail may have been accepted."""
        return self.phase == Phase.DATA and self.status in (EmailStatus.SENDING, EmailStatus.UNCERTAIN)

    @property
    def was_stopped(self) -> bool:
        """Whether its job ended before DATA: the mail is sent if the job is retried."""
        return self.status in (EmailStatus.FAILED, EmailStatus.CANCELLED) and self.frozen is not None

    def next_step(self, *, oldest: datetime, is_last_attempt: bool) -> Step:
        """Decide what to do. A mail from before `oldest` is not sent any more."""
        too_late = self.created_at < oldest
        if self.was_interrupted:
            may_resend = self.when_uncertain == WhenUncertain.RESEND and not (too_late or is_last_attempt)
            return Step.SEND if may_resend else Step.HOLD
        if self.status not in WAITING and not self.was_stopped:
            return Step.NOTHING
        return Step.EXPIRE if too_late else Step.SEND

    def begin(self, now: datetime) -> None:
        """Begin an attempt."""
        self.attempts += 1
        self.error = None
        self._set_state(EmailStatus.SENDING, Phase.CONNECT, now)

    def wait(self, status: EmailStatus, reply: str, now: datetime) -> None:
        """End an attempt that will be repeated: `queued` or `deferred`."""
        self.last_reply = reply
        self._set_state(status, Phase.IDLE, now)

    def mark_uncertain(self, now: datetime) -> None:
        """Mark it uncertain. The phase and the content stay for a later decision."""
        self._set_state(EmailStatus.UNCERTAIN, Phase.DATA, now)

    def mark_sent(self, reply: str, now: datetime) -> None:
        """Mark it sent. The reply may quote the address, so it is not kept if the owner was erased meanwhile."""
        self.last_reply = None if self.status == EmailStatus.CANCELLED else reply
        self.sent_at = now
        self.frozen = None
        self._set_state(EmailStatus.SENT, Phase.IDLE, now)

    def confirm_sent(self, now: datetime) -> None:
        """Mark it sent by an administrator's decision, at the time at which the session broke off."""
        self.sent_at = self.updated_at
        self.frozen = None
        self._set_state(EmailStatus.SENT, Phase.IDLE, now)

    def queue_again(self, now: datetime) -> None:
        """Queue it to send the same bytes again."""
        self._set_state(EmailStatus.QUEUED, Phase.IDLE, now)

    def stop(self, status: EmailStatus, problem: Mapping[str, Any], now: datetime) -> None:
        """End it because its job ended: `failed` or `cancelled`. The content stays, so that the job can be retried."""
        self.error = dict(problem)
        self._set_state(status, Phase.IDLE, now)

    def fail(self, problem: Mapping[str, Any], now: datetime) -> None:
        """Give it up and erase its content."""
        self.error = dict(problem)
        self.frozen = None
        self._set_state(EmailStatus.FAILED, Phase.IDLE, now)

    def _set_state(self, status: EmailStatus, phase: Phase, now: datetime) -> None:
        self.status = status
        self.phase = phase
        self.updated_at = now
        self.revision += 1


class Attempt(Table, table=True):
    """One SMTP session to deliver a mail, and how it ended."""

    __tablename__ = "attempts"
    __table_args__ = ({"schema": "emails"},)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    email_id: UUID = Field(foreign_key="emails.emails.id", ondelete="CASCADE", index=True)
    number: int
    outcome: Outcome = choice(Outcome, Outcome.SENT)
    phase: Phase = choice(Phase, Phase.CONNECT)
    reply: str | None = None
    tls: str | None = None
    started_at: datetime = timestamp()
    ended_at: datetime = timestamp()
