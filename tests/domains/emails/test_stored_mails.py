"""Mails in the real database, sent to a real mail server and read over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import update
from sqlmodel import col

from domains.emails.gateway.smtp import SmtpGateway
from domains.emails.models import Email, Phase
from domains.emails.public import EmailStatus, OutgoingMail, WhenUncertain
from domains.emails.service.delivery import DeliveryService
from domains.emails.service.mailer import MailerService
from domains.emails.settings import EmailsSettings, parse_smtp_url
from shared.db.statement import Nothing, Statement
from shared.db.transaction import require_transaction
from shared.jobs import Snooze
from tests.domains.emails.doubles import Context
from tests.mails import contents_to

LEASE_OVER = (
    "UPDATE jobs.jobs SET state = 'running', crashes = 2, attempt = 1, lease_token = gen_random_uuid(),"
    " lease_expires_at = now() - interval '1 s', begun_at = now(), worker_id = 'x' WHERE resource_id = $1"
)
"""A worker has a mail's job for the last time, and has died."""


def delivery(composition, port: int) -> DeliveryService:
    """The composed delivery, to a mail server of the test's own."""
    settings = EmailsSettings(emails_timeout_seconds=2, emails_data_timeout_seconds=2)
    emails = composition.emails
    return DeliveryService(
        repository=emails.repository(),
        transaction=composition.database().transaction,
        outbox=composition.jobs.outbox(),
        jobs=composition.jobs.service(),
        clock=composition.clock(),
        transport=SmtpGateway(
            parse_smtp_url(f"smtp://127.0.0.1:{port}"), settings=settings, local_hostname="localhost"
        ),
        encryption=emails.encryption(),
        settings=settings,
    )


async def accept(mailer: MailerService, address: str, **given: object) -> UUID:
    mail = OutgoingMail(template="test/hello", to=address, variables={"word": "s3cret-token"}, **given)
    return await mailer.send(mailer.prepare(mail))


async def stored(composition, email_id: UUID) -> Email:
    async with composition.database().transaction():
        email = await composition.emails.repository().lock(email_id)
    assert email is not None
    return email


async def change(composition, email_id: UUID, **values: object) -> None:
    changed = Statement(update(Email).where(col(Email.id) == email_id).values(**values), Nothing)
    assert await composition.database().execute(changed) == 1


async def take_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A mail server that takes the whole mail, and breaks the line instead of saying so."""
    writer.write(b"220 hello\r\n")
    while (line := await reader.readline()) and not line.startswith(b"DATA"):
        writer.write(b"250 fine\r\n")
    writer.write(b"354 go on\r\n")
    await reader.readuntil(b"\r\n.\r\n")
    writer.close()


async def break_after_the_dot(composition, email_id: UUID) -> Context:
    """Let the line break after the last byte of this mail."""
    server = await asyncio.start_server(take_and_hang_up, "127.0.0.1", 0)
    context = Context()
    try:
        await delivery(composition, server.sockets[0].getsockname()[1]).deliver(email_id, context)
    finally:
        server.close()
    return context


async def test_an_accepted_mail_arrives_and_its_fate_is_shown(
    client, admin, servers, work_off, composition, mailer, address
):
    email_id = await accept(mailer, address, category="greeting")
    waiting = await stored(composition, email_id)
    assert waiting.status == EmailStatus.QUEUED
    assert b"s3cret-token" not in (waiting.frozen or b"")
    await work_off()
    answer = await client.get(f"/v1/emails/{email_id}", headers=admin.headers)
    shown = answer.json()
    assert answer.status_code == 200
    assert (shown["status"], shown["recipient"], shown["subject"]) == ("sent", address, "Hello")
    assert (shown["attempts"], shown["error"], shown["category"]) == (1, None, "greeting")
    assert shown["last_reply"].startswith("250")
    assert "s3cret-token" not in answer.text
    (content,) = contents_to(servers.mails, address)
    assert message_from_bytes(content, policy=policy.default)["Message-ID"] == shown["message_id"]
    assert b"s3cret-token" in content
    assert (await stored(composition, email_id)).frozen is None


async def test_a_mail_vanishes_with_the_transaction_that_caused_it(composition, mailer, address):
    prepared = mailer.prepare(OutgoingMail(template="test/hello", to=address, variables={"word": "x"}))

    async def fail_after_sending() -> None:
        async with composition.database().transaction():
            await mailer.send(prepared)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_sending()
    assert await composition.emails.repository().find(prepared.id) is None


async def test_a_prepared_mail_is_accepted_once(composition, mailer, address):
    prepared = mailer.prepare(OutgoingMail(template="test/hello", to=address, variables={"word": "x"}))
    await mailer.send(prepared)
    with pytest.raises(asyncpg.UniqueViolationError):
        await mailer.send(prepared)


async def test_mails_are_listed_page_by_page(client, admin, mailer, address):
    ids = [str(await accept(mailer, address)) for _ in range(5)]
    query = {"recipient": address.upper(), "status": "queued", "limit": "2", "include_total": "true"}
    seen, pages = [], 0
    while True:
        answer = await client.get("/v1/emails", params=query, headers=admin.headers)
        page = answer.json()
        assert answer.status_code == 200, page
        assert page["total"] == 5
        seen += [email["id"] for email in page["data"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        assert 'rel="next"' in answer.headers["link"]
        query["cursor"] = page["next_cursor"]
    assert (seen, pages) == (ids[::-1], 3)
    query = {"recipient": address, "sort": "created_at", "limit": "1"}
    oldest = await client.get("/v1/emails", params=query, headers=admin.headers)
    assert [email["id"] for email in oldest.json()["data"]] == ids[:1]
    failed = await client.get(
        "/v1/emails", params={"recipient": address, "status": "failed"}, headers=admin.headers
    )
    assert failed.json()["data"] == []


@pytest.mark.parametrize(
    "query", [{"status": "lost"}, {"limit": "0"}, {"sort": "frozen"}, {"recipient": "a" * 321}]
)
async def test_a_wrong_query_is_explained(client, admin, query):
    answer = await client.get("/v1/emails", params=query, headers=admin.headers)
    assert answer.status_code == 422


async def test_a_tampered_cursor_is_a_bad_request(client, admin):
    answer = await client.get("/v1/emails", params={"cursor": "e30"}, headers=admin.headers)
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/v1/emails", "/v1/emails/01890000-0000-7000-8000-000000000000"])
async def test_mails_are_for_administrators(client, user, admin, path):
    assert (await client.get(path)).status_code == 401
    assert (await client.get(path, headers=user.headers)).status_code == 403


async def test_an_unknown_mail_is_not_found(client, admin):
    answer = await client.get("/v1/emails/01890000-0000-7000-8000-000000000000", headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "emails.not_found")
    assert (await client.get("/v1/emails/1", headers=admin.headers)).status_code == 422


async def test_a_person_who_leaves_takes_their_mails_along(servers, work_off, composition, mailer, address):
    owner = uuid4()
    sent = await accept(mailer, f"first-{address}", owner_id=owner)
    await work_off()
    waiting = await accept(mailer, address, owner_id=owner, to_name="Ann")
    others = await accept(mailer, address)
    eraser = composition.emails.personal_data()
    await eraser.purge(owner)
    await eraser.purge(owner)
    await work_off()
    for email_id, status in ((sent, EmailStatus.SENT), (waiting, EmailStatus.CANCELLED)):
        email = await stored(composition, email_id)
        assert email.status == status
        personal = (email.recipient, email.recipient_name, email.subject, email.frozen, email.last_reply)
        assert personal == (None, None, None, None, None)
        assert email.owner_id is None
    assert (await stored(composition, others)).status == EmailStatus.SENT
    assert len(contents_to(servers.mails, address)) == 1


async def test_a_mail_waits_for_a_mail_server_that_is_down(composition, mailer, address):
    email_id = await accept(mailer, address)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    with pytest.raises(Snooze):
        await delivery(composition, port).deliver(email_id, Context())
    email = await stored(composition, email_id)
    assert (email.status, email.phase) == (EmailStatus.QUEUED, Phase.IDLE)
    assert email.last_reply
    assert email.frozen


async def test_a_line_that_breaks_after_the_dot_leaves_an_uncertain_mail(composition, mailer, address):
    email_id = await accept(mailer, address)
    context = await break_after_the_dot(composition, email_id)
    email = await stored(composition, email_id)
    assert (email.status, email.phase) == (EmailStatus.UNCERTAIN, Phase.DATA)
    assert context.result == {"status": "uncertain"}
    assert email.frozen


async def test_mails_that_nobody_works_on_are_given_up_in_the_end(composition, mailer, address):
    old = datetime.now(UTC) - timedelta(hours=121)
    forgotten, cut_off, young = [await accept(mailer, address) for _ in range(3)]
    await change(composition, forgotten, created_at=old, updated_at=old)
    await change(
        composition,
        cut_off,
        created_at=old,
        updated_at=old,
        status=EmailStatus.SENDING,
        phase=Phase.DATA,
    )
    await composition.emails.delivery().expire()
    email = await stored(composition, forgotten)
    assert (email.status, email.frozen, email.error["code"]) == (EmailStatus.FAILED, None, "emails.expired")
    email = await stored(composition, cut_off)
    assert (email.status, email.frozen is None) == (EmailStatus.UNCERTAIN, False)
    assert (await stored(composition, young)).status == EmailStatus.QUEUED


async def test_a_mail_that_was_cut_off_is_uncertain_soon_and_not_after_days(composition, mailer, address):
    email_id = await accept(mailer, address)
    an_hour_ago = datetime.now(UTC) - timedelta(minutes=61)
    await change(composition, email_id, updated_at=an_hour_ago, status=EmailStatus.SENDING, phase=Phase.DATA)
    await composition.emails.delivery().expire()
    assert (await stored(composition, email_id)).status == EmailStatus.UNCERTAIN


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        (Phase.DATA, EmailStatus.UNCERTAIN),
        (Phase.ENVELOPE, EmailStatus.FAILED),  # nothing was sent: `tulou jobs retry` sends it
    ],
)
async def test_a_mail_whose_worker_died_for_the_last_time_is_uncertain_at_once(
    composition, mailer, address, work_off, phase, status
):
    email_id = await accept(mailer, address, when_uncertain=WhenUncertain.RESEND)
    await change(composition, email_id, status=EmailStatus.SENDING, phase=phase)
    async with composition.database().transaction():
        await (await require_transaction().connection()).execute(LEASE_OVER, email_id)
    await composition.jobs.relay().recover()
    await work_off()
    email = await stored(composition, email_id)
    assert email.status == status
    assert email.frozen
