"""Delivery of accepted mails. Each phase is committed before it begins, so a crash shows how far the mail had come."""

from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn
from uuid import UUID

from domains.emails.errors import (
    MailDeferred,
    MailDeferredTooLong,
    MailExpired,
    MailGivenUp,
    MailRefused,
    MailStopped,
    MailUncertain,
)
from domains.emails.gateway.transport import (
    DeliveryError,
    Envelope,
    OutcomeUnknown,
    Refused,
    Reply,
    ServerUnreachable,
    SmtpSession,
    SmtpTransport,
)
from domains.emails.models import WAITING, Attempt, Email, Outcome, Phase, Step
from domains.emails.public import EmailFailed, EmailSent, EmailStatus, WhenUncertain
from domains.emails.repository import EmailRepository
from domains.emails.schemas import OwnedEmailRow
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.mailer import is_being_delivered
from domains.emails.settings import EmailsSettings
from domains.jobs.public import Jobs
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.errors import AppError, problem_of
from shared.jobs import JobContext, Outbox, Snooze
from shared.logging import get_logger

logger = get_logger(__name__)
_FINAL_FAILURES: dict[str, type[AppError]] = {
    error.code: error for error in (MailRefused, MailDeferredTooLong, MailExpired, MailGivenUp)
}
_UNREACHABLE = "the mail server is unreachable"
_SHORTEST_PAUSE = timedelta(seconds=1)
# Longer than any SMTP session: a mail untouched for so long has no worker.
_UNTOUCHED = timedelta(hours=1)


class _Withdrawn(Exception):
    """The mail was cancelled during its SMTP session."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A mail to be sent now. `attempt` is written when the SMTP session has ended."""

    email: Email
    attempt: Attempt
    content: bytes
    context: JobContext


@dataclass(kw_only=True, eq=False)
class DeliveryService:
    """Delivers mails to the mail server. No transaction is open during an SMTP session."""

    repository: EmailRepository
    transaction: TransactionFactory
    outbox: Outbox
    jobs: Jobs
    clock: Clock
    transport: SmtpTransport
    encryption: MailEncryption
    settings: EmailsSettings

    async def deliver(self, email_id: UUID, context: JobContext) -> None:
        """Attempt to deliver a mail, and finish the job with the mail's status.

        Raises:
            Snooze: the mail server is unreachable; the attempt does not count.
            MailDeferred, MailUncertain: another attempt follows.
            MailRefused, MailDeferredTooLong, MailExpired: the mail was given up.
        """
        pause = self.transport.pause()
        if pause:
            raise Snooze(pause, _UNREACHABLE)
        delivery = await self._begin(email_id, context)
        if delivery is None:
            return
        try:
            async with self.transport.open_session() as session:
                reply = await self._deliver(delivery, session)
        except _Withdrawn:
            logger.info("mail_withdrawn", email_id=str(email_id))
        except DeliveryError as ended:
            await self._note_failure(delivery, ended)
        else:
            await self._note_success(delivery, reply)

    async def reconcile(self, email_id: UUID, *, was_cancelled: bool) -> None:
        """End a mail whose job has ended: `uncertain` if it was interrupted during DATA, else cancelled or failed."""
        async with self.transaction():
            email = await self.repository.lock(email_id)
            # The job's event may arrive late, after the mail has ended otherwise.
            if email is None or email.status not in WAITING:
                return
            if await is_being_delivered(self.jobs, email_id):
                return  # the job was retried meanwhile
            if email.was_interrupted:
                await self._note_crash(email)
                email.mark_uncertain(self.clock.now())
            else:
                await self._stop(email, was_cancelled=was_cancelled)
            await self.repository.save(email)

    async def expire(self) -> None:
        """Give up mails that are too old and have no running job; reconcile those whose job is gone."""
        now = self.clock.now()
        for email_id in await self.repository.stalled(now - _UNTOUCHED):
            await self.reconcile(email_id, was_cancelled=False)
        async with self.transaction():
            given_up = await self.repository.expire(
                created_before=now - self.settings.give_up_after,
                untouched_since=now - _UNTOUCHED,
                problem=problem_of(MailExpired()),
                now=now,
            )
            for email in given_up:
                await self._publish_failure(email, MailExpired.code)

    async def _begin(self, email_id: UUID, context: JobContext) -> _Delivery | None:
        """Begin an attempt, unless the mail needs none: then finish the job, or fail it for the mail's reason.

        Not durable: the mail server knows nothing of the mail yet, so an attempt that a crash loses is made again.
        """
        async with self.transaction(separate=True, durable=False):
            await context.confirm()
            email = await self.repository.lock(email_id)
            delivery = None
            if email is not None:
                delivery = await self._prepare_attempt(email, context)
                await self.repository.save(email)
            if delivery is None and (email is None or email.status != EmailStatus.FAILED):
                await context.finish({"status": "erased" if email is None else email.status})
        if delivery is None and email is not None and email.status == EmailStatus.FAILED:
            _raise_failure_of(email)
        return delivery

    async def _prepare_attempt(self, email: Email, context: JobContext) -> _Delivery | None:
        now = self.clock.now()
        step = email.next_step(oldest=now - self.settings.give_up_after, is_last_attempt=_is_last(context))
        if email.was_interrupted and email.status == EmailStatus.SENDING:
            await self._note_crash(email)
        if step == Step.HOLD:
            email.mark_uncertain(now)
        if step == Step.EXPIRE:
            await self._give_up(email, MailExpired())
        # Ended mails have no content any more.
        if step != Step.SEND or email.frozen is None:
            return None
        content = self.encryption.decrypt(email.frozen)
        email.begin(now)
        attempt = Attempt(email_id=email.id, number=email.attempts, started_at=now, ended_at=now)
        return _Delivery(email, attempt, content, context)

    async def _deliver(self, delivery: _Delivery, session: SmtpSession) -> Reply:
        delivery.attempt.tls = session.tls
        await self._enter(delivery, Phase.ENVELOPE)
        envelope = Envelope(delivery.email.sender, delivery.email.recipient or "", len(delivery.content))
        await session.send_envelope(envelope)
        # Committed before the first byte: after a crash the row says that the mail may have been sent.
        await self._enter(delivery, Phase.DATA)
        return await session.deliver(delivery.content)

    async def _enter(self, delivery: _Delivery, phase: Phase) -> None:
        """Commit that a phase begins. From DATA on the mail may have been sent: only that must survive a crash."""
        async with self.transaction(separate=True, durable=phase is Phase.DATA):
            await delivery.context.confirm()
            entered = await self.repository.enter(delivery.email.id, phase, self.clock.now())
            if not entered:
                await delivery.context.finish({"status": EmailStatus.CANCELLED})
        if not entered:
            raise _Withdrawn
        delivery.attempt.phase = phase

    async def _note_success(self, delivery: _Delivery, reply: Reply) -> None:
        async with self.transaction(separate=True):
            email = await self._end(delivery, Outcome.SENT, reply)
            if email is not None:
                email.mark_sent(str(reply), self.clock.now())
                await self.repository.save(email)
                await self.outbox.publish(EmailSent(email_id=email.id, owner_id=email.owner_id))
            await delivery.context.finish({"status": EmailStatus.SENT})
        logger.info("mail_sent", email_id=str(delivery.email.id), template=delivery.email.template)

    async def _note_failure(self, delivery: _Delivery, ended: DeliveryError) -> None:
        outcome, failure = self._classify(delivery, ended)
        async with self.transaction(separate=True):
            email = await self._end(delivery, outcome, ended.reply)
            # Erased or cancelled during the session: the outcome must not revive it.
            if email is None or email.status != EmailStatus.SENDING:
                failure = None
            else:
                await self._apply(email, ended, failure)
                await self.repository.save(email)
            if failure is None:
                await delivery.context.finish({"status": "erased" if email is None else email.status})
        logger.warning(
            "mail_not_accepted", email_id=str(delivery.email.id), outcome=outcome, code=ended.reply.code
        )
        if failure is not None:
            raise failure from ended

    def _classify(
        self, delivery: _Delivery, ended: DeliveryError
    ) -> tuple[Outcome, AppError | Snooze | None]:
        """Return how the session ended, and what the job raises; None: the job is finished."""
        code = ended.reply.code
        if isinstance(ended, ServerUnreachable):
            pause = max(self.transport.pause(), _SHORTEST_PAUSE)
            return Outcome.UNREACHABLE, Snooze(pause, _UNREACHABLE)
        if isinstance(ended, OutcomeUnknown):
            may_resend = delivery.email.when_uncertain == WhenUncertain.RESEND and not _is_last(
                delivery.context
            )
            return Outcome.UNCERTAIN, MailUncertain() if may_resend else None
        if isinstance(ended, Refused):
            return Outcome.REFUSED, MailRefused(reply_code=code)
        # A reply that can't be parsed has the code 0.
        outcome = Outcome.DEFERRED if code else Outcome.PROTOCOL_ERROR
        return outcome, (MailDeferredTooLong if _is_last(delivery.context) else MailDeferred)(reply_code=code)

    async def _apply(self, email: Email, ended: DeliveryError, failure: AppError | Snooze | None) -> None:
        now = self.clock.now()
        reply = str(ended.reply)
        if isinstance(ended, OutcomeUnknown):
            email.last_reply = reply
            email.mark_uncertain(now)
        elif isinstance(failure, AppError) and failure.permanent:
            email.last_reply = reply
            await self._give_up(email, failure)
        elif isinstance(ended, ServerUnreachable) and not ended.answered:
            email.wait(EmailStatus.QUEUED, reply, now)
        else:
            email.wait(EmailStatus.DEFERRED, reply, now)

    async def _end(self, delivery: _Delivery, outcome: Outcome, reply: Reply) -> Email | None:
        """Record how the session ended, in the open transaction; return the locked mail."""
        await delivery.context.confirm()
        email = await self.repository.lock(delivery.email.id)
        if email is None:
            return None
        delivery.attempt.outcome = outcome
        delivery.attempt.reply = None if email.status == EmailStatus.CANCELLED else str(reply)
        delivery.attempt.ended_at = self.clock.now()
        await self.repository.insert(delivery.attempt)
        return email

    async def _note_crash(self, email: Email) -> None:
        await self.repository.insert(
            Attempt(
                email_id=email.id,
                number=email.attempts,
                outcome=Outcome.UNCERTAIN,
                phase=Phase.DATA,
                reply="The worker stopped before the mail server had answered.",
                started_at=email.updated_at,
                ended_at=self.clock.now(),
            )
        )

    async def _stop(self, email: Email, *, was_cancelled: bool) -> None:
        status = EmailStatus.CANCELLED if was_cancelled else EmailStatus.FAILED
        email.stop(status, problem_of(MailStopped()), self.clock.now())
        if not was_cancelled:
            await self._publish_failure(email, MailStopped.code)

    async def _give_up(self, email: Email, failure: AppError) -> None:
        email.fail(problem_of(failure), self.clock.now())
        await self._publish_failure(email, failure.code)

    async def _publish_failure(self, email: Email | OwnedEmailRow, code: str) -> None:
        await self.outbox.publish(EmailFailed(email_id=email.id, owner_id=email.owner_id, code=code))


def _is_last(context: JobContext) -> bool:
    return context.attempt >= context.max_attempts


def _raise_failure_of(email: Email) -> NoReturn:
    """Fail the job for its mail's reason, also when an earlier attempt committed the mail's end."""
    code = (email.error or {}).get("code", "")
    raise _FINAL_FAILURES.get(code, MailRefused)
