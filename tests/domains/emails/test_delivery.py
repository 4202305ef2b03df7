"""The state of a mail after each way in which an SMTP session can end."""

from datetime import timedelta
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from domains.emails.errors import (
    MailDeferred,
    MailDeferredTooLong,
    MailExpired,
    MailRefused,
    MailUncertain,
    MailUnreadable,
)
from domains.emails.gateway.transport import (
    OutcomeUnknown,
    ProtocolError,
    Refused,
    Reply,
    ServerUnreachable,
    TemporaryFailure,
)
from domains.emails.job_types import DELIVER
from domains.emails.models import Outcome, Phase
from domains.emails.public import EmailFailed, EmailSent, EmailStatus, WhenUncertain
from domains.emails.service.encryption import MailEncryption
from shared.jobs import LeaseLost, Snooze
from tests.domains.emails.doubles import CONTENT, Bench, Context

RESEND = {"when_uncertain": WhenUncertain.RESEND}


async def test_each_phase_is_committed_before_it_begins_and_data_is_on_the_disk():
    bench = Bench()
    await bench.deliver()
    soon = "commit, soon on the disk"
    assert bench.log == [soon, "connect", soon, "envelope", "commit", "data", "commit"]


async def test_a_sent_mail_is_erased_and_announced():
    bench = Bench(owner_id=uuid4())
    context = await bench.deliver()
    email = bench.email
    assert (email.status, email.phase, email.frozen) == (EmailStatus.SENT, Phase.IDLE, None)
    assert (email.last_reply, email.attempts, email.sent_at) == ("250 2.0.0 Kept", 1, bench.clock.now())
    assert bench.outbox.events == [EmailSent(email_id=email.id, owner_id=email.owner_id)]
    assert context.result == {"status": "sent"}
    (attempt,) = bench.emails.attempts
    assert (attempt.outcome, attempt.phase, attempt.tls) == (Outcome.SENT, Phase.DATA, "TLSv1.3")


@pytest.mark.parametrize("phase", ["connect", "envelope"])
@pytest.mark.parametrize(("answered", "status"), [(False, EmailStatus.QUEUED), (True, EmailStatus.DEFERRED)])
async def test_a_server_that_is_away_burns_no_attempt(phase, answered, status):
    bench = Bench()
    bench.transport.failures[phase] = ServerUnreachable(Reply(0, "connection refused"), answered=answered)
    with pytest.raises(Snooze) as caught:
        await bench.deliver(attempt=30)
    assert caught.value.delay >= timedelta(seconds=1)
    assert (bench.email.status, bench.email.phase) == (status, Phase.IDLE)
    assert bench.email.last_reply == "connection refused"
    bench.transport.failures.clear()
    await bench.deliver(attempt=30)
    assert bench.email.status == EmailStatus.SENT
    assert bench.transport.taken == [CONTENT]


async def test_nobody_is_bothered_during_an_outage():
    bench = Bench()
    bench.transport.outage = timedelta(seconds=17)
    with pytest.raises(Snooze) as caught:
        await bench.deliver()
    assert caught.value.delay == timedelta(seconds=17)
    assert (bench.log, bench.email.status) == ([], EmailStatus.QUEUED)


@pytest.mark.parametrize("phase", ["envelope", "data"])
async def test_4xx_puts_the_mail_off(phase):
    bench = Bench()
    bench.transport.failures[phase] = TemporaryFailure(Reply(451, "later"))
    with pytest.raises(MailDeferred) as caught:
        await bench.deliver()
    assert not caught.value.permanent
    assert (bench.email.status, bench.email.phase) == (EmailStatus.DEFERRED, Phase.IDLE)
    assert bench.email.frozen is not None
    bench.transport.failures.clear()
    await bench.deliver(attempt=2)
    assert (bench.email.status, bench.email.attempts) == (EmailStatus.SENT, 2)


async def test_4xx_for_the_last_time_gives_the_mail_up():
    bench = Bench()
    bench.transport.failures["envelope"] = TemporaryFailure(Reply(451, "later"))
    with pytest.raises(MailDeferredTooLong) as caught:
        await bench.deliver(attempt=30)
    assert caught.value.permanent
    assert (bench.email.status, bench.email.frozen) == (EmailStatus.FAILED, None)


@pytest.mark.parametrize("phase", ["envelope", "data"])
async def test_5xx_gives_the_mail_up_at_once(phase):
    bench = Bench()
    bench.transport.failures[phase] = Refused(Reply(550, "no ann here"))
    with pytest.raises(MailRefused) as caught:
        await bench.deliver()
    email = bench.email
    assert caught.value.permanent
    assert (email.status, email.frozen, email.last_reply) == (EmailStatus.FAILED, None, "550 no ann here")
    assert email.error["code"] == "emails.refused"
    assert "ann" not in str(caught.value.extensions), "a job's problem holds no personal data"
    assert bench.outbox.events == [EmailFailed(email_id=email.id, code="emails.refused")]
    with pytest.raises(MailRefused):
        await bench.deliver(attempt=2)
    assert len(bench.emails.attempts) == 1


async def test_garbage_is_tried_again():
    bench = Bench()
    bench.transport.failures["connect"] = ProtocolError(Reply(0, "HTTP/1.1"))
    with pytest.raises(MailDeferred):
        await bench.deliver()
    assert bench.email.status == EmailStatus.DEFERRED
    assert bench.emails.attempts[0].outcome == Outcome.PROTOCOL_ERROR


async def test_a_line_broken_after_the_last_byte_holds_the_mail():
    bench = Bench()
    bench.transport.failures["data"] = OutcomeUnknown(Reply(0, "connection lost"))
    context = await bench.deliver()
    assert context.result == {"status": "uncertain"}
    assert (bench.email.status, bench.email.phase) == (EmailStatus.UNCERTAIN, Phase.DATA)
    assert bench.email.frozen is not None, "a decision may still need the bytes"
    bench.transport.failures.clear()
    again = await bench.deliver(attempt=2)
    assert again.result == {"status": "uncertain"}
    assert len(bench.transport.taken) == 1, "nothing is sent blindly"


async def test_a_line_broken_after_the_last_byte_sends_the_same_bytes_again_where_that_is_wanted():
    bench = Bench(**RESEND)
    bench.transport.failures["data"] = OutcomeUnknown(Reply(0, "connection lost"))
    with pytest.raises(MailUncertain):
        await bench.deliver()
    assert bench.email.status == EmailStatus.UNCERTAIN
    bench.transport.failures.clear()
    await bench.deliver(attempt=2)
    assert bench.email.status == EmailStatus.SENT
    assert bench.transport.taken == [CONTENT, CONTENT]
    assert [attempt.outcome for attempt in bench.emails.attempts] == [Outcome.UNCERTAIN, Outcome.SENT]


async def test_resending_ends_with_the_last_attempt():
    bench = Bench(**RESEND)
    bench.transport.failures["data"] = OutcomeUnknown(Reply(0, "connection lost"))
    context = await bench.deliver(attempt=30)
    assert context.result == {"status": "uncertain"}


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.ENVELOPE])
async def test_a_crash_before_the_content_is_tried_again(phase):
    bench = Bench(status=EmailStatus.SENDING, phase=phase, attempts=1)
    await bench.deliver(attempt=2)
    assert (bench.email.status, bench.email.attempts) == (EmailStatus.SENT, 2)


async def test_a_crash_in_the_content_holds_the_mail():
    bench = Bench(status=EmailStatus.SENDING, phase=Phase.DATA, attempts=1)
    context = await bench.deliver(attempt=2)
    assert context.result == {"status": "uncertain"}
    assert (bench.email.status, bench.transport.taken) == (EmailStatus.UNCERTAIN, [])
    assert [attempt.outcome for attempt in bench.emails.attempts] == [Outcome.UNCERTAIN]


async def test_a_crash_in_the_content_sends_again_where_that_is_wanted():
    bench = Bench(status=EmailStatus.SENDING, phase=Phase.DATA, attempts=1, **RESEND)
    await bench.deliver(attempt=2)
    assert bench.email.status == EmailStatus.SENT
    assert [attempt.outcome for attempt in bench.emails.attempts] == [Outcome.UNCERTAIN, Outcome.SENT]


@pytest.mark.parametrize(
    ("at", "said"),
    [(1, []), (2, ["connect"]), (3, ["connect", "envelope"]), (4, ["connect", "envelope", "data"])],
)
async def test_a_worker_that_lost_the_job_stops_before_the_next_phase(at, said):
    bench = Bench()
    context = Context()
    context.lost_at = at
    with pytest.raises(LeaseLost):
        await bench.service.deliver(bench.email.id, context)
    assert [word for word in bench.log if not word.startswith("commit")] == said
    assert context.result is None
    assert bench.emails.attempts == []


@pytest.mark.parametrize(
    "status", [EmailStatus.SENT, EmailStatus.CANCELLED, EmailStatus.BOUNCED, EmailStatus.SUPPRESSED]
)
async def test_a_mail_that_is_over_is_left_alone(status):
    bench = Bench(status=status, frozen=None)
    context = await bench.deliver()
    assert context.result == {"status": status}
    assert bench.transport.taken == []


async def test_a_job_without_its_mail_ends():
    bench = Bench()
    context = Context()
    await bench.service.deliver(uuid4(), context)
    assert context.result == {"status": "erased"}


async def test_a_mail_that_was_withdrawn_meanwhile_is_not_sent():
    bench = Bench()
    send_envelope = bench.transport.send_envelope

    async def withdraw(envelope):
        await send_envelope(envelope)
        bench.email.status = EmailStatus.CANCELLED

    bench.transport.send_envelope = withdraw
    context = await bench.deliver()
    assert context.result == {"status": "cancelled"}
    assert bench.transport.taken == []


async def test_a_mail_that_was_withdrawn_while_the_server_failed_stays_withdrawn():
    bench = Bench()

    def fail(phase):
        bench.email.status = EmailStatus.CANCELLED
        raise ServerUnreachable(Reply(0, "gone"), answered=True)

    bench.transport._reach = fail
    context = await bench.deliver()
    assert context.result == {"status": "cancelled"}
    assert bench.email.status == EmailStatus.CANCELLED
    assert bench.emails.attempts[0].reply is None


async def test_an_old_mail_is_given_up_instead_of_sent():
    bench = Bench()
    bench.clock.time += timedelta(hours=121)
    with pytest.raises(MailExpired):
        await bench.deliver()
    assert (bench.email.status, bench.email.frozen) == (EmailStatus.FAILED, None)
    assert bench.transport.taken == []


async def test_a_missing_key_keeps_the_mail_for_when_it_is_back():
    bench = Bench()
    bench.email.frozen = MailEncryption([Fernet.generate_key().decode()]).encrypt(CONTENT)
    with pytest.raises(MailUnreadable) as caught:
        await bench.deliver()
    assert not caught.value.permanent
    assert bench.email.status == EmailStatus.QUEUED


async def test_old_mails_without_a_job_are_given_up_and_announced():
    bench = Bench()
    bench.emails.expiring = [bench.email]
    await bench.service.expire()
    assert bench.outbox.events == []
    bench.clock.time += timedelta(hours=121)
    await bench.service.expire()
    assert bench.outbox.events == [EmailFailed(email_id=bench.email.id, code="emails.expired")]


@pytest.mark.parametrize(
    ("living", "phase", "status"),
    [
        ([], Phase.DATA, EmailStatus.UNCERTAIN),
        ([DELIVER.kind], Phase.DATA, EmailStatus.SENDING),
        ([], Phase.ENVELOPE, EmailStatus.FAILED),
        ([], Phase.CONNECT, EmailStatus.FAILED),
        ([DELIVER.kind], Phase.ENVELOPE, EmailStatus.SENDING),
    ],
)
async def test_a_mail_that_nobody_works_on_any_more_is_uncertain_if_it_may_have_been_sent(
    living, phase, status
):
    bench = Bench(status=EmailStatus.SENDING, phase=phase, attempts=1, **RESEND)
    bench.jobs.kinds = living
    await bench.service.reconcile(bench.email.id, was_cancelled=False)
    await bench.service.reconcile(bench.email.id, was_cancelled=False)
    assert bench.email.status == status
    assert len(bench.emails.attempts) == (status == EmailStatus.UNCERTAIN)
    failed = [EmailFailed(email_id=bench.email.id, code="emails.stopped")]
    assert bench.outbox.events == (failed if status == EmailStatus.FAILED else [])


@pytest.mark.parametrize("status", [EmailStatus.QUEUED, EmailStatus.DEFERRED, EmailStatus.SENDING])
@pytest.mark.parametrize(
    ("was_cancelled", "ended"), [(True, EmailStatus.CANCELLED), (False, EmailStatus.FAILED)]
)
async def test_a_mail_whose_job_ended_is_sent_when_the_job_is_started_again(status, was_cancelled, ended):
    bench = Bench(status=status)
    await bench.service.reconcile(bench.email.id, was_cancelled=was_cancelled)
    assert (bench.email.status, bench.email.error["code"]) == (ended, "emails.stopped")
    await bench.deliver()
    assert (bench.email.status, bench.email.error, bench.email.frozen) == (EmailStatus.SENT, None, None)
    assert len(bench.transport.taken) == 1


async def test_a_mail_whose_job_is_started_again_too_late_is_given_up():
    bench = Bench()
    await bench.service.reconcile(bench.email.id, was_cancelled=True)
    bench.clock.time += timedelta(hours=121)
    with pytest.raises(MailExpired):
        await bench.deliver()
    assert (bench.email.status, bench.email.frozen) == (EmailStatus.FAILED, None)
    assert bench.transport.taken == []
