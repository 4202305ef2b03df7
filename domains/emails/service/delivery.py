"""Sending accepted mails: each phase is committed before it begins, so that a crash tells how far it had come."""

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
from domains.emails.job_types import DELIVER
from domains.emails.models import WAITING, Attempt, Email, Outcome, Phase, Step
from domains.emails.public import EmailFailed, EmailSent, EmailStatus, WhenUncertain
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.stores import EmailStore
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
_SHORTEST_PAUSE = timedelta(seconds=1)
_UNTOUCHED = timedelta(hours=1)


class _Withdrawn(Exception):
    """The mail was taken back while it was being sent."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A mail to be sent now. `attempt` becomes the record of the session."""

    email: Email
    attempt: Attempt
    content: bytes
    context: JobContext

    @property
    def is_last(self) -> bool:
        return _is_last(self.context)


class DeliveryService:
    """Delivers mails to the mail server. No transaction is open while it talks to it."""

    def __init__(
        self,
        *,
        emails: EmailStore,
        transaction: TransactionFactory,
        outbox: Outbox,
        jobs: Jobs,
        clock: Clock,
        transport: SmtpTransport,
        encryption: MailEncryption,
        settings: EmailsSettings,
    ) -> None:
        self._emails = emails
        self._transaction = transaction
        self._outbox = outbox
        self._jobs = jobs
        self._clock = clock
        self._transport = transport
        self._encryption = encryption
        self._give_up_after = timedelta(hours=settings.emails_give_up_hours)

    async def deliver(self, email_id: UUID, context: JobContext) -> None:
        """Make one attempt at a mail, and finish the job with what became of it.

        Raises:
            Snooze: the mail server is away; no attempt is burnt.
            MailDeferred, MailUncertain: another attempt follows.
            MailRefused, MailDeferredTooLong, MailExpired: the mail was given up.
        """
        pause = self._transport.pause()
        if pause:
            raise Snooze(pause, "the mail server is away")
        task = await self._begin(email_id, context)
        if task is None:
            return
        try:
            async with self._transport.open_session() as session:
                reply = await self._deliver(task, session)
        except _Withdrawn:
            logger.info("mail_withdrawn", email_id=str(email_id))
        except DeliveryError as ended:
            await self._note_failure(task, ended)
        else:
            await self._note_success(task, reply)

    async def reconcile(self, email_id: UUID, *, was_cancelled: bool) -> None:
        """End a mail whose job ended without it: uncertain if its content was on its way, else cancelled or failed."""
        async with self._transaction():
            email = await self._emails.lock(email_id)
            if email is None or email.status not in WAITING:
                return
            if any(job.kind == DELIVER.kind for job in (await self._jobs.of_resources([email_id]))[email_id]):
                return  # somebody has had it tried again meanwhile
            if email.was_interrupted:
                await self._note_crash(email)
                email.mark_uncertain(self._clock.now())
            else:
                await self._stop(email, was_cancelled=was_cancelled)
            await self._emails.save(email)

    async def expire(self) -> None:
        """Give up mails that are too old and that nobody works on any more; reconcile those whose job is gone."""
        now = self._clock.now()
        for email_id in await self._emails.stalled(untouched_since=now - _UNTOUCHED):
            await self.reconcile(email_id, was_cancelled=False)
        async with self._transaction():
            given_up = await self._emails.expire(
                created_before=now - self._give_up_after,
                untouched_since=now - _UNTOUCHED,
                problem=problem_of(MailExpired()),
                now=now,
            )
            for email in given_up:
                await self._outbox.publish(
                    EmailFailed(email_id=email.id, owner_id=email.owner_id, code=MailExpired.code)
                )

    async def _begin(self, email_id: UUID, context: JobContext) -> _Task | None:
        """Enter a new session, unless the mail needs none; then finish the job, or fail it as the mail failed.

        Nothing has been said to the mail server yet: what a crash of the database undoes here is done again.
        """
        async with self._transaction(separate=True, durable=False):
            await context.confirm()
            email = await self._emails.lock(email_id)
            task = None
            if email is not None:
                task = await self._prepare_attempt(email, context)
                await self._emails.save(email)
            if task is None and (email is None or email.status != EmailStatus.FAILED):
                await context.finish({"status": "erased" if email is None else email.status})
        if task is None and email is not None and email.status == EmailStatus.FAILED:
            _raise_failure_of(email)
        return task

    async def _prepare_attempt(self, email: Email, context: JobContext) -> _Task | None:
        now = self._clock.now()
        step = email.next_step(oldest=now - self._give_up_after, is_last_attempt=_is_last(context))
        if email.was_interrupted and email.status == EmailStatus.SENDING:
            await self._note_crash(email)
        if step == Step.HOLD:
            email.mark_uncertain(now)
        if step == Step.EXPIRE:
            await self._give_up(email, MailExpired())
        if step != Step.SEND or email.frozen is None:
            return None
        content = self._encryption.decrypt(email.frozen)
        email.begin(now)
        attempt = Attempt(email_id=email.id, number=email.attempts, started_at=now, ended_at=now)
        return _Task(email, attempt, content, context)

    async def _deliver(self, task: _Task, session: SmtpSession) -> Reply:
        task.attempt.tls = session.tls
        await self._enter(task, Phase.ENVELOPE)
        envelope = Envelope(task.email.sender, task.email.recipient or "", len(task.content))
        await session.send_envelope(envelope)
        await self._enter(task, Phase.DATA)
        return await session.deliver(task.content)

    async def _enter(self, task: _Task, phase: Phase) -> None:
        """Commit that a phase begins. From DATA on a mail may have been sent: that must be on the disk before."""
        async with self._transaction(separate=True, durable=phase is Phase.DATA):
            await task.context.confirm()
            entered = await self._emails.enter(task.email.id, phase, now=self._clock.now())
            if not entered:
                await task.context.finish({"status": EmailStatus.CANCELLED})
        if not entered:
            raise _Withdrawn
        task.attempt.phase = phase

    async def _note_success(self, task: _Task, reply: Reply) -> None:
        async with self._transaction(separate=True):
            email = await self._end(task, Outcome.SENT, reply)
            if email is not None:
                email.mark_sent(str(reply), self._clock.now())
                await self._emails.save(email)
                await self._outbox.publish(EmailSent(email_id=email.id, owner_id=email.owner_id))
            await task.context.finish({"status": EmailStatus.SENT})
        logger.info("mail_sent", email_id=str(task.email.id), template=task.email.template)

    async def _note_failure(self, task: _Task, ended: DeliveryError) -> None:
        outcome, failure = self._classify(task, ended)
        async with self._transaction(separate=True):
            email = await self._end(task, outcome, ended.reply)
            if email is None or email.status != EmailStatus.SENDING:
                failure = None
            else:
                await self._apply(email, ended, failure)
                await self._emails.save(email)
            if failure is None:
                await task.context.finish({"status": "erased" if email is None else email.status})
        logger.warning("mail_not_taken", email_id=str(task.email.id), outcome=outcome, code=ended.reply.code)
        if failure is not None:
            raise failure from ended

    def _classify(self, task: _Task, ended: DeliveryError) -> tuple[Outcome, AppError | Snooze | None]:
        """Return how the session ended, and what to tell the job; None: there is nothing more to be done."""
        code = ended.reply.code
        if isinstance(ended, ServerUnreachable):
            pause = max(self._transport.pause(), _SHORTEST_PAUSE)
            return Outcome.UNREACHABLE, Snooze(pause, "the mail server is away")
        if isinstance(ended, OutcomeUnknown):
            may_resend = task.email.when_uncertain == WhenUncertain.RESEND and not task.is_last
            return Outcome.UNCERTAIN, MailUncertain() if may_resend else None
        if isinstance(ended, Refused):
            return Outcome.REFUSED, MailRefused(reply_code=code)
        outcome = Outcome.DEFERRED if code else Outcome.GARBLED
        return outcome, MailDeferredTooLong(reply_code=code) if task.is_last else MailDeferred(
            reply_code=code
        )

    async def _apply(self, email: Email, ended: DeliveryError, failure: AppError | Snooze | None) -> None:
        now = self._clock.now()
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

    async def _end(self, task: _Task, outcome: Outcome, reply: Reply) -> Email | None:
        """Write down how the session ended, in the open transaction; return the mail, locked."""
        await task.context.confirm()
        email = await self._emails.lock(task.email.id)
        if email is None:
            return None
        task.attempt.outcome = outcome
        task.attempt.reply = None if email.status == EmailStatus.CANCELLED else str(reply)
        task.attempt.ended_at = self._clock.now()
        await self._emails.add(task.attempt)
        return email

    async def _note_crash(self, email: Email) -> None:
        await self._emails.add(
            Attempt(
                email_id=email.id,
                number=email.attempts,
                outcome=Outcome.UNCERTAIN,
                phase=Phase.DATA,
                reply="The worker stopped before the mail server had answered.",
                started_at=email.updated_at,
                ended_at=self._clock.now(),
            )
        )

    async def _stop(self, email: Email, *, was_cancelled: bool) -> None:
        status = EmailStatus.CANCELLED if was_cancelled else EmailStatus.FAILED
        email.stop(status, problem_of(MailStopped()), self._clock.now())
        if not was_cancelled:
            await self._outbox.publish(
                EmailFailed(email_id=email.id, owner_id=email.owner_id, code=MailStopped.code)
            )

    async def _give_up(self, email: Email, failure: AppError) -> None:
        email.fail(problem_of(failure), self._clock.now())
        await self._outbox.publish(EmailFailed(email_id=email.id, owner_id=email.owner_id, code=failure.code))


def _is_last(context: JobContext) -> bool:
    return context.attempt >= context.max_attempts


def _raise_failure_of(email: Email) -> NoReturn:
    """A job fails for its mail's reason, also when an earlier attempt committed the mail's end."""
    code = (email.error or {}).get("code", "")
    raise _FINAL_FAILURES.get(code, MailRefused)
