"""A mail does not stay in state `sending` after its job has ended, however it ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from domains.emails.models import Email, Phase
from domains.emails.public import EmailStatus
from domains.jobs.service.runner import JobRunner
from shared.audit import Actor
from tests.domains.emails.servers import ehlo_then, misbehaving
from tests.domains.emails.test_stored_mails import LEASE_OVER, accept, change, delivery, stored
from tests.domains.jobs.conftest import a_runner
from tests.domains.jobs.seeing import claim, run_sql
from tests.mails import contents_to

OPERATOR = Actor(operator="a test")
pytestmark = pytest.mark.usefixtures("only_here")


@pytest.fixture
async def mail(composition, mailer, address) -> tuple[UUID, UUID]:
    """An accepted mail, and the job that sends it."""
    email_id = await accept(mailer, address)
    (job,) = (await composition.jobs.service().of_resources([email_id]))[email_id]
    return email_id, job.id


@pytest.fixture
def fate(composition, mail, work_off) -> Callable[[], Awaitable[Email]]:
    """Let domains hear of the end of the job, and return the mail."""

    async def look() -> Email:
        await work_off()
        return await stored(composition, mail[0])

    return look


@pytest.fixture
def retry(composition, mail, work_off, servers, address) -> Callable[[], Awaitable[tuple[str, int]]]:
    """Start the job again as an operator does; return the mail's state, and how often it arrived."""

    async def start_again() -> tuple[str, int]:
        (answer,) = await composition.jobs.operations().retry([mail[1]], OPERATOR)
        assert answer.error is None, answer
        await run_sql(composition, "UPDATE jobs.jobs SET queue = 'mail' WHERE id = :id", id=mail[1])
        await work_off()
        return (await stored(composition, mail[0])).status, len(contents_to(servers.mails, address))

    return start_again


async def cancel(composition, job_id: UUID) -> None:
    (answer,) = await composition.jobs.operations().cancel([job_id], OPERATOR)
    assert answer.error is None, answer


async def job_state(composition, job_id: UUID) -> str:
    job = await composition.jobs.rows().find(job_id)
    assert job is not None
    return str(job.state)


@asynccontextmanager
async def sent_by(composition, runner: JobRunner, port: int) -> AsyncIterator[None]:
    """Let this runner send mails to the mail server on that port."""
    own = delivery(composition, port)
    runner.provide = lambda path, _type: own if path == "emails.delivery" else None
    yield


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.05)


async def is_being_sent(composition, email_id: UUID) -> bool:
    return (await stored(composition, email_id)).status == EmailStatus.SENDING


async def say_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def test_cancelled_while_it_waits(composition, mail, fate, retry) -> None:
    await cancel(composition, mail[1])
    email = await fate()
    assert (email.status, email.error["code"]) == (EmailStatus.CANCELLED, "emails.stopped")
    assert await retry() == ("sent", 1)


async def test_cancelled_in_the_middle_of_a_session(composition, mail, fate, retry) -> None:
    email_id, job_id = mail
    runner = a_runner(composition)
    async with misbehaving(say_nothing) as port, sent_by(composition, runner, port):
        claimed = await claim(runner, job_id)
        running = asyncio.create_task(runner.run(claimed))
        await until(partial(is_being_sent, composition, email_id))
        await cancel(composition, job_id)
        await asyncio.wait_for(running, 30)
    assert await job_state(composition, job_id) == "cancelled"
    assert (await fate()).status == EmailStatus.CANCELLED
    assert await retry() == ("sent", 1)


async def test_cancelled_while_its_attempt_fails(composition, mail, fate, retry) -> None:
    _, job_id = mail
    runner = a_runner(composition, jobs_heartbeat=60)

    async def cancel_then_refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ehlo_then(reader, writer)
        await cancel(composition, job_id)
        writer.write(b"451 later\r\n")
        await reader.readline()

    async with misbehaving(cancel_then_refuse) as port, sent_by(composition, runner, port):
        await runner.run(await claim(runner, job_id))
    assert await job_state(composition, job_id) == "cancelled"
    email = await fate()
    assert (email.status, email.attempts) == (EmailStatus.CANCELLED, 1)
    assert await retry() == ("sent", 1)


async def test_cancelled_while_the_mail_server_is_away(composition, mail, fate, retry) -> None:
    _, job_id = mail
    runner = a_runner(composition, jobs_heartbeat=60)

    async def cancel_then_hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await cancel(composition, job_id)

    async with misbehaving(cancel_then_hang_up) as port, sent_by(composition, runner, port):
        await runner.run(await claim(runner, job_id))
    assert await job_state(composition, job_id) == "cancelled"
    assert (await fate()).status == EmailStatus.CANCELLED
    assert await retry() == ("sent", 1)


async def test_released_by_a_worker_that_ends(composition, mail, fate, servers, address) -> None:
    email_id, job_id = mail
    runner, ends_at = a_runner(composition), None
    runner.ends_at = lambda: ends_at
    async with misbehaving(say_nothing) as port, sent_by(composition, runner, port):
        running = asyncio.create_task(runner.run(await claim(runner, job_id)))
        await until(partial(is_being_sent, composition, email_id))
        ends_at = time.monotonic()
        await asyncio.wait_for(running, 30)
    assert await job_state(composition, job_id) == "retrying"
    await run_sql(composition, "UPDATE jobs.jobs SET queue = 'mail' WHERE id = :id", id=job_id)
    assert (await fate()).status == EmailStatus.SENT
    assert len(contents_to(servers.mails, address)) == 1


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.ENVELOPE])
async def test_its_worker_died_for_the_last_time(composition, mail, fate, retry, phase) -> None:
    email_id, job_id = mail
    await change(composition, email_id, status=EmailStatus.SENDING, phase=phase)
    await run_sql(composition, LEASE_OVER, email_id=email_id)
    await composition.jobs.relay().recover()
    assert await job_state(composition, job_id) == "failed"
    assert (await fate()).status == EmailStatus.FAILED
    assert await retry() == ("sent", 1)


async def test_its_last_attempt_met_a_mistake(composition, mail, fate, retry) -> None:
    email_id, job_id = mail
    await change(composition, email_id, status=EmailStatus.SENDING, phase=Phase.CONNECT)
    await run_sql(composition, "UPDATE jobs.jobs SET attempt = max_attempts - 1 WHERE id = :id", id=job_id)
    runner = a_runner(composition)
    runner.provide = lambda *_: None  # there is no service to call
    await runner.run(await claim(runner, job_id))
    assert await job_state(composition, job_id) == "failed"
    assert (await fate()).status == EmailStatus.FAILED
    assert await retry() == ("sent", 1)


async def test_a_payload_that_nobody_can_read(composition, mail, fate) -> None:
    _, job_id = mail
    await run_sql(composition, "UPDATE jobs.jobs SET payload = '{}' WHERE id = :id", id=job_id)
    runner = a_runner(composition)
    await runner.run(await claim(runner, job_id))
    assert (await fate()).status == EmailStatus.FAILED


async def test_a_mail_whose_job_is_gone_is_reconciled_within_an_hour(composition, mailer, address) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=61)
    gone, living = [await accept(mailer, address) for _ in range(2)]
    for email_id in (gone, living):
        await change(
            composition, email_id, status=EmailStatus.SENDING, phase=Phase.ENVELOPE, updated_at=long_ago
        )
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET state = 'cancelled', finished_at = now() WHERE resource_id = :id",
        id=gone,
    )
    await composition.emails.delivery().expire()
    assert (await stored(composition, gone)).status == EmailStatus.FAILED
    assert (await stored(composition, living)).status == EmailStatus.SENDING


async def test_the_content_of_a_stopped_mail_is_erased_when_it_is_too_old_to_be_sent(
    composition, mail, fate
) -> None:
    email_id, job_id = mail
    await cancel(composition, job_id)
    assert (await fate()).frozen
    await composition.emails.delivery().expire()
    assert (await stored(composition, email_id)).frozen
    await change(composition, email_id, created_at=datetime.now(UTC) - timedelta(hours=121))
    await composition.emails.delivery().expire()
    email = await stored(composition, email_id)
    assert (email.status, email.frozen) == (EmailStatus.CANCELLED, None)
