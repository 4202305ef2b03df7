"""Tables of mails and of the sessions with the mail server about them."""

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
"""States in which a worker still has to do something about a mail."""


class Phase(StrEnum):
    """How far the present session with the mail server has come. Each is committed before it begins."""

    IDLE = "idle"
    CONNECT = "connect"
    ENVELOPE = "envelope"
    DATA = "data"


class Outcome(StrEnum):
    """How a session ended."""

    SENT = "sent"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    GARBLED = "garbled"
    UNCERTAIN = "uncertain"


class Step(StrEnum):
    """What is to be done next about a mail."""

    SEND = "send"
    HOLD = "hold"
    EXPIRE = "expire"
    NOTHING = "nothing"


class Email(Table, table=True):
    """A mail and its fate. `frozen` is encrypted, and erased when nobody can need it any more."""

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
        """Whether a session ended after the first byte of the content had left, and nobody knows how."""
        return self.phase == Phase.DATA and self.status in (EmailStatus.SENDING, EmailStatus.UNCERTAIN)

    @property
    def was_stopped(self) -> bool:
        """Whether its job ended before its content had left: it is sent if the job is started again."""
        return self.status in (EmailStatus.FAILED, EmailStatus.CANCELLED) and self.frozen is not None

    def next_step(self, *, oldest: datetime, is_last_attempt: bool) -> Step:
        """Decide what to do; a mail from before `oldest` is of no use to anybody."""
        too_late = self.created_at < oldest
        if self.was_interrupted:
            may_resend = self.when_uncertain == WhenUncertain.RESEND and not (too_late or is_last_attempt)
            return Step.SEND if may_resend else Step.HOLD
        if self.status not in WAITING and not self.was_stopped:
            return Step.NOTHING
        return Step.EXPIRE if too_late else Step.SEND

    def begin(self, now: datetime) -> None:
        """Enter a new session."""
        self.attempts += 1
        self.error = None
        self._set_state(EmailStatus.SENDING, Phase.CONNECT, now)

    def wait(self, status: EmailStatus, reply: str, now: datetime) -> None:
        """Leave a session that came to nothing: `queued` or `deferred`."""
        self.last_reply = reply
        self._set_state(status, Phase.IDLE, now)

    def mark_uncertain(self, now: datetime) -> None:
        """Say that nobody knows. The phase stays, and so do the bytes: a later decision may need them."""
        self._set_state(EmailStatus.UNCERTAIN, Phase.DATA, now)

    def mark_sent(self, reply: str, now: datetime) -> None:
        """The mail server has taken it. Somebody who was erased in the meantime stays erased."""
        self.last_reply = None if self.status == EmailStatus.CANCELLED else reply
        self.sent_at = now
        self.frozen = None
        self._set_state(EmailStatus.SENT, Phase.IDLE, now)

    def confirm_sent(self, now: datetime) -> None:
        """Believe whoever looked: it was taken when the session broke off."""
        self.sent_at = self.updated_at
        self.frozen = None
        self._set_state(EmailStatus.SENT, Phase.IDLE, now)

    def queue_again(self, now: datetime) -> None:
        """Let a worker send the same bytes once more."""
        self._set_state(EmailStatus.QUEUED, Phase.IDLE, now)

    def stop(self, status: EmailStatus, problem: Mapping[str, Any], now: datetime) -> None:
        """Note that no job works on it any more: `failed` or `cancelled`. The bytes stay, should the job be retried."""
        self.error = dict(problem)
        self._set_state(status, Phase.IDLE, now)

    def fail(self, problem: Mapping[str, Any], now: datetime) -> None:
        """Give it up."""
        self.error = dict(problem)
        self.frozen = None
        self._set_state(EmailStatus.FAILED, Phase.IDLE, now)

    def _set_state(self, status: EmailStatus, phase: Phase, now: datetime) -> None:
        self.status = status
        self.phase = phase
        self.updated_at = now
        self.revision += 1


class Attempt(Table, table=True):
    """One session with the mail server about a mail, and how it ended."""

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
