"""Test doubles of the dependencies of the mail services."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from cryptography.fernet import Fernet

from domains.emails.gateway.transport import Envelope, Reply, SmtpSession
from domains.emails.models import Attempt, Email, Phase
from domains.emails.public import EmailStatus, WhenUncertain
from domains.emails.service.delivery import DeliveryService
from domains.emails.service.encryption import MailEncryption
from domains.emails.settings import EmailsSettings
from domains.jobs.public import JobSummary
from shared.ids import new_id
from shared.jobs import JobType, LeaseLost

CONTENT = b"Subject: Hello\r\n\r\nHello\r\n"
ENCRYPTION = MailEncryption([Fernet.generate_key().decode()])


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Transactions:
    """Counts what was committed, so that a test sees the order of commits and sessions."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.depth = 0

    @asynccontextmanager
    async def __call__(self, *, separate: bool = False, durable: bool = True) -> AsyncIterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
        self.log.append("commit" if durable else "commit, soon on the disk")


class Emails:
    def __init__(self, *emails: Email) -> None:
        self.rows = {email.id: email for email in emails}
        self.attempts: list[Attempt] = []
        self.expiring: list[Email] = []

    async def insert(self, row: Any) -> Any:
        if isinstance(row, Email):
            self.rows[row.id] = row
        else:
            self.attempts.append(row)
        return row

    async def lock(self, email_id: UUID) -> Email | None:
        kept = self.rows.get(email_id)
        return None if kept is None else Email(**kept.model_dump())

    async def save(self, email: Email) -> None:
        for name, value in email.model_dump().items():
            setattr(self.rows[email.id], name, value)

    async def enter(self, email_id: UUID, phase: Phase, now: datetime) -> bool:
        email = self.rows[email_id]
        if email.status != EmailStatus.SENDING:
            return False
        email.phase = phase
        return True

    async def stalled(self, untouched_since: datetime) -> list[UUID]:
        return [
            email.id
            for email in self.rows.values()
            if email.status == EmailStatus.SENDING and email.updated_at < untouched_since
        ]

    async def expire(
        self,
        *,
        created_before: datetime,
        untouched_since: datetime,
        problem: Mapping[str, Any],
        now: datetime,
    ) -> list[Email]:
        return [email for email in self.expiring if email.created_at < created_before]


class Jobs:
    """The jobs that live; `kinds` are those about the mail."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    async def of_resources(self, resource_ids: list[UUID]) -> dict[UUID, list[JobSummary]]:
        """Return the living jobs of each resource."""
        living = [JobSummary(new_id(), kind, "queued", "/v1/jobs/x") for kind in self.kinds]
        return dict.fromkeys(resource_ids, living)

    async def summaries(self, job_ids: list[UUID]) -> list[JobSummary]:
        """Nobody asks."""
        raise NotImplementedError


class Outbox:
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.jobs: list[Any] = []

    async def publish(self, event: Any) -> list[UUID]:
        self.events.append(event)
        return []

    async def enqueue(self, job: JobType[Any], payload: Any, options: Any = None) -> UUID:
        self.jobs.append((job, payload, options))
        return uuid4()


class Transport:
    """A mail server that takes everything, but for the exceptions that it is told to raise."""

    def __init__(self, transactions: Transactions, log: list[str], email: Email) -> None:
        self._transactions = transactions
        self._log = log
        self._email = email
        self.failures: dict[str, BaseException] = {}
        self.outage = timedelta(0)
        self.taken: list[bytes] = []
        self.tls: str | None = "TLSv1.3"

    def pause(self) -> timedelta:
        return self.outage

    async def stop(self) -> None: ...

    @asynccontextmanager
    async def open_session(self) -> AsyncIterator[SmtpSession]:
        self._reach("connect")
        yield self

    async def send_envelope(self, envelope: Envelope) -> None:
        self._reach("envelope")

    async def deliver(self, content: bytes) -> Reply:
        self.taken.append(content)
        self._reach("data")
        return Reply(250, "2.0.0 Kept")

    def _reach(self, phase: str) -> None:
        assert self._transactions.depth == 0, "a transaction is open while we talk to the mail server"
        assert self._email.phase == phase, "the phase was not written down before it began"
        self._log.append(phase)
        if phase in self.failures:
            raise self.failures[phase]


class Context:
    """A running job."""

    def __init__(self, *, attempt: int = 1, max_attempts: int = 30) -> None:
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.result: Mapping[str, Any] | None = None
        self.confirmations = 0
        self.lost_at: int | None = None

    async def confirm(self) -> None:
        self.confirmations += 1
        if self.lost_at == self.confirmations:
            raise LeaseLost

    async def finish(self, result: Mapping[str, Any] | None = None) -> None:
        assert self.result is None, "a job ends once"
        self.result = dict(result or {})


class Bench:
    """A mail, and all that is needed to deliver it."""

    def __init__(self, **given: Any) -> None:
        self.clock = Clock()
        self.log: list[str] = []
        self.email = Email(
            **{
                "recipient": "ann@example.com",
                "sender": "us@example.com",
                "subject": "Hello",
                "template": "auth/hello",
                "message_id": "<1@example.com>",
                "frozen": ENCRYPTION.encrypt(CONTENT),
                "when_uncertain": WhenUncertain.HOLD,
                "created_at": self.clock.now(),
                "updated_at": self.clock.now(),
                **given,
            }
        )
        self.emails = Emails(self.email)
        self.transactions = Transactions(self.log)
        self.transport = Transport(self.transactions, self.log, self.email)
        self.outbox = Outbox()
        self.jobs = Jobs()
        self.service = DeliveryService(
            repository=self.emails,
            transaction=self.transactions,
            outbox=self.outbox,
            jobs=self.jobs,
            clock=self.clock,
            transport=self.transport,
            encryption=ENCRYPTION,
            settings=EmailsSettings(),
        )

    async def deliver(self, **given: Any) -> Context:
        context = Context(**given)
        await self.service.deliver(self.email.id, context)
        return context
