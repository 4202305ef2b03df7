"""Administrators resolve mails whose delivery is uncertain."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from domains.emails.models import Phase
from domains.emails.public import EmailStatus, WhenUncertain
from shared.db.transaction import require_transaction
from tests.domains.emails.test_stored_mails import accept, break_after_the_dot, change, stored
from tests.mails import contents_to


async def on_hold(composition, mailer, address: str) -> UUID:
    """Return a mail whose line broke after the last byte, and whose job has ended."""
    email_id = await accept(mailer, address)
    await break_after_the_dot(composition, email_id)
    await end_job_of(composition, email_id)
    return email_id


async def end_job_of(composition, email_id: UUID) -> None:
    """End the mail's job: the delivery above stood in for it."""
    ending = "UPDATE jobs.jobs SET state = 'succeeded', finished_at = now() WHERE resource_id = $1"
    async with composition.database().transaction():
        await (await require_transaction().connection()).execute(ending, email_id)


def resolve(client, admin, email_id: UUID, resolution: str):
    return client.post(f"/v1/emails/{email_id}/resolve", json={"as": resolution}, headers=admin.headers)


async def test_a_mail_is_sent_again_with_its_own_message_id_and_erased_at_the_end(
    client, admin, servers, work_off, composition, mailer, address
):
    email_id = await on_hold(composition, mailer, address)
    answer = await resolve(client, admin, email_id, "resend")
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/emails/{email_id}"
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["status"] == "queued"
    await work_off()
    shown = (await client.get(answer.headers["Location"], headers=admin.headers)).json()
    assert (shown["status"], shown["attempts"]) == ("sent", 2)
    (content,) = contents_to(servers.mails, address)
    assert message_from_bytes(content, policy=policy.default)["Message-ID"] == shown["message_id"]
    assert (await stored(composition, email_id)).frozen is None


@pytest.mark.parametrize(("resolution", "code"), [("sent", None), ("failed", "emails.given_up")])
async def test_a_mail_that_counts_as_sent_or_failed_is_erased_and_stays_so(
    resolution, code, client, admin, servers, work_off, composition, mailer, address
):
    email_id = await on_hold(composition, mailer, address)
    answer = await resolve(client, admin, email_id, resolution)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == resolution
    assert (answer.json()["error"] or {}).get("code") == code
    assert (answer.json()["sent_at"] is not None) == (resolution == "sent")
    assert (await stored(composition, email_id)).frozen is None
    await work_off()
    assert contents_to(servers.mails, address) == []
    assert (await stored(composition, email_id)).status == resolution


async def test_who_decided_what_is_in_the_log(client, admin, composition, mailer, address):
    email_id = await on_hold(composition, mailer, address)
    with capture_logs() as lines:
        await resolve(client, admin, email_id, "failed")
    (line,) = [line for line in lines if line["event"] == "mail_resolved"]
    assert line["email_id"] == str(email_id)
    assert line["resolution"] == "failed"
    assert line["by"] == str(admin.id)
    assert address not in str(lines)
    (event,) = [line for line in lines if line["event"] == "security_event"]
    assert (event["kind"], event["by"]) == ("mail_resolved", str(admin.id))
    assert event["address"] == client.headers["X-Forwarded-For"]


async def test_a_mail_is_resolved_once(client, admin, composition, mailer, address):
    email_id = await on_hold(composition, mailer, address)
    assert (await resolve(client, admin, email_id, "resend")).status_code == 202
    again = await resolve(client, admin, email_id, "failed")
    assert (again.status_code, again.json()["code"]) == (409, "emails.not_on_hold")
    assert (await stored(composition, email_id)).status == EmailStatus.QUEUED


async def test_only_uncertain_mails_are_resolved(client, admin, work_off, composition, mailer, address):
    email_id = await accept(mailer, address)
    assert (await resolve(client, admin, email_id, "sent")).status_code == 409
    await change(composition, email_id, status=EmailStatus.SENDING, phase=Phase.DATA)
    assert (await resolve(client, admin, email_id, "sent")).status_code == 409
    await change(composition, email_id, status=EmailStatus.QUEUED, phase=Phase.IDLE)
    await work_off()
    assert (await resolve(client, admin, email_id, "failed")).status_code == 409
    assert (await stored(composition, email_id)).status == EmailStatus.SENT


async def test_a_mail_that_is_sent_again_by_itself_needs_nobody(client, admin, composition, mailer, address):
    email_id = await accept(mailer, address, when_uncertain=WhenUncertain.RESEND)
    await change(composition, email_id, status=EmailStatus.UNCERTAIN, phase=Phase.DATA)
    answer = await resolve(client, admin, email_id, "resend")
    assert (answer.status_code, answer.json()["code"]) == (409, "emails.not_on_hold")
    await end_job_of(composition, email_id)
    assert (await resolve(client, admin, email_id, "resend")).status_code == 202


async def test_a_mail_that_is_too_old_is_not_sent_again(client, admin, composition, mailer, address):
    email_id = await on_hold(composition, mailer, address)
    await change(composition, email_id, created_at=datetime.now(UTC) - timedelta(hours=121))
    answer = await resolve(client, admin, email_id, "resend")
    assert (answer.status_code, answer.json()["code"]) == (409, "emails.too_old")
    assert (await stored(composition, email_id)).status == EmailStatus.UNCERTAIN
    assert (await resolve(client, admin, email_id, "sent")).status_code == 200


async def test_mails_of_somebody_who_left_are_never_sent_again(client, admin, composition, mailer, address):
    owner = uuid4()
    email_id = await accept(mailer, address, owner_id=owner)
    await change(composition, email_id, status=EmailStatus.UNCERTAIN, phase=Phase.DATA)
    await end_job_of(composition, email_id)
    await composition.emails.personal_data().purge(owner)
    assert (await resolve(client, admin, email_id, "resend")).status_code == 409


async def test_deciding_is_for_administrators(client, user, admin, composition, mailer, address):
    email_id = await on_hold(composition, mailer, address)
    path = f"/v1/emails/{email_id}/resolve"
    assert (await client.post(path, json={"as": "sent"})).status_code == 401
    assert (await client.post(path, json={"as": "sent"}, headers=user.headers)).status_code == 403
    assert (await stored(composition, email_id)).status == EmailStatus.UNCERTAIN


@pytest.mark.parametrize("body", [{}, {"as": "lost"}, {"as": "sent", "to": "x"}, {"resolution": "sent"}])
async def test_a_wrong_decision_is_explained(body, client, admin):
    answer = await client.post(f"/v1/emails/{uuid4()}/resolve", json=body, headers=admin.headers)
    assert answer.status_code == 422


async def test_a_mail_that_is_unknown_is_not_found(client, admin):
    answer = await resolve(client, admin, uuid4(), "sent")
    assert (answer.status_code, answer.json()["code"]) == (404, "emails.not_found")
