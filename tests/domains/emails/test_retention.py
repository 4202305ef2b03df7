"""Ended mails are deleted after a retention period, together with the replies of servers."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from domains.emails.job_types import PRUNE
from domains.emails.models import Phase
from domains.emails.public import EmailStatus
from domains.emails.service import emails
from shared.audit import Actor
from tests.domains.emails.test_stored_mails import accept, change


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@pytest.fixture
async def kept(servers, settings, client, admin):
    """Tell whether a mail is there, and how many attempts it has."""
    owner = await asyncpg.connect(servers.environment["TULOU_DATABASE_OWNER_URL"])

    async def look(email_id) -> tuple[bool, int]:
        shown = await client.get(f"/v1/emails/{email_id}", headers=admin.headers)
        attempts = "SELECT count(*) FROM emails.attempts WHERE email_id = $1"
        return shown.status_code == 200, await owner.fetchval(attempts, email_id)

    yield look
    await owner.close()


async def test_a_mail_that_was_sent_is_deleted_after_a_year(composition, mailer, address, work_off, kept):
    old, younger = await accept(mailer, address), await accept(mailer, address)
    await work_off()
    assert await kept(old) == (True, 1)
    await change(composition, old, created_at=days_ago(366), updated_at=days_ago(366))
    await change(composition, younger, created_at=days_ago(364), updated_at=days_ago(364))
    await composition.emails.service().prune()
    assert await kept(old) == (False, 0)
    assert await kept(younger) == (True, 1)


@pytest.mark.parametrize(
    ("status", "is_kept"),
    [
        (EmailStatus.SENT, False),
        (EmailStatus.FAILED, False),
        (EmailStatus.CANCELLED, False),
        (EmailStatus.UNCERTAIN, True),
        (EmailStatus.SENDING, True),
        (EmailStatus.DEFERRED, True),
    ],
)
async def test_only_what_has_ended_is_deleted(composition, mailer, address, kept, status, is_kept):
    email_id = await accept(mailer, address)
    await change(
        composition,
        email_id,
        status=status,
        phase=Phase.DATA if is_kept else Phase.IDLE,
        created_at=days_ago(400),
        updated_at=days_ago(400),
    )
    await composition.emails.service().prune()
    assert (await kept(email_id))[0] is is_kept
    await change(composition, email_id, status=EmailStatus.CANCELLED, phase=Phase.IDLE) if is_kept else None


async def test_a_mail_that_was_resolved_lately_stays(composition, mailer, address, kept):
    email_id = await accept(mailer, address)
    await change(composition, email_id, status=EmailStatus.FAILED, created_at=days_ago(400))
    await composition.emails.service().prune()
    assert (await kept(email_id))[0]


async def test_many_are_deleted_in_several_transactions(composition, mailer, address, kept, monkeypatch):
    monkeypatch.setattr(emails, "PRUNED_AT_ONCE", 2)
    ids = [await accept(mailer, address) for _ in range(5)]
    for email_id in ids:
        await change(
            composition,
            email_id,
            status=EmailStatus.SENT,
            created_at=days_ago(400),
            updated_at=days_ago(400),
        )
    await composition.emails.service().prune()
    assert [await kept(email_id) for email_id in ids] == [(False, 0)] * 5


async def test_the_application_can_not_delete_the_mails_of_a_month(
    composition, mailer, address, kept, servers
):
    """Whoever has taken over a process can't remove the mails that it has sent."""
    young, old = await accept(mailer, address), await accept(mailer, address)
    for email_id, days in ((young, 29), (old, 31)):
        moment = days_ago(days)
        await change(composition, email_id, status=EmailStatus.SENT, created_at=moment, updated_at=moment)
    application = await asyncpg.connect(servers.environment["DATABASE_URL"])
    try:
        await application.fetchval("SELECT emails.prune_emails('infinity', 1000000)")
    finally:
        await application.close()
    assert ((await kept(young))[0], (await kept(old))[0]) == (True, False)


async def test_a_job_does_it(composition, mailer, address, kept, work_off):
    email_id = await accept(mailer, address)
    await change(
        composition, email_id, status=EmailStatus.SENT, created_at=days_ago(400), updated_at=days_ago(400)
    )
    answer = await composition.jobs.operations().run(PRUNE.kind, {}, Actor(operator="tests"))
    assert answer.error is None
    await work_off()
    assert not (await kept(email_id))[0]
