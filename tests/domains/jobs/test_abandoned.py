"""A domain is told when a job ends without its handler."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

from tests.domains.jobs.conftest import HASTY, Enqueue
from tests.domains.jobs.seeing import claim, look, run_once, run_sql


@pytest.fixture
async def told(servers) -> AsyncIterator[Callable[[UUID], Awaitable[int]]]:
    """Count the jobs that hear of a job's end."""
    connection = await asyncpg.connect(servers.superuser_url)
    heard = "SELECT count(*) FROM jobs.jobs WHERE kind = 'files.settle' AND payload ->> 'job_id' = $1"

    async def count(job_id: UUID) -> int:
        return await connection.fetchval(heard, str(job_id))

    yield count
    await connection.close()


async def test_of_a_job_whose_handler_knows_its_end_nobody_is_told(enqueue: Enqueue, runner, told) -> None:
    for do in ("succeed", "give up", "return"):
        job_id = await enqueue(do)
        await run_once(runner, job_id)
        assert await told(job_id) == 0


async def test_of_a_job_that_ends_as_its_handler_did_not_decide_its_domain_is_told(
    enqueue: Enqueue, runner, composition, told
) -> None:
    last = "UPDATE jobs.jobs SET attempt = max_attempts - 1 WHERE id = :id"
    unreadable = """UPDATE jobs.jobs SET payload = '{"number": "x"}' WHERE id = :id"""
    unknown = "UPDATE jobs.jobs SET kind = 'tests.gone', created_at = now() - interval '9 d' WHERE id = :id"
    for do, change in (("fail", last), ("find nobody", last), ("succeed", unreadable), ("succeed", unknown)):
        job_id = await enqueue(do)
        await run_sql(composition, change, id=job_id)
        await run_once(runner, job_id)
        assert ((await look(composition, job_id)).status, await told(job_id)) == ("failed", 1)

    for do in ("fail", "snooze"):  # the wish comes while its attempt ends, and ends the next one
        job_id = await enqueue(do)
        claimed = await claim(runner, job_id)
        await composition.jobs.canceller().cancel(job_id)
        await runner.run(claimed)
        assert ((await look(composition, job_id)).status, await told(job_id)) == ("cancelled", 1)


async def test_of_the_end_of_a_job_that_was_to_hear_of_an_end_nobody_is_told(
    enqueue: Enqueue, runner, composition, told
) -> None:
    job_id = await enqueue()
    await run_sql(
        composition, "UPDATE jobs.jobs SET kind = 'emails.settle', payload = '{}' WHERE id = :id", id=job_id
    )
    await run_once(runner, job_id)
    assert ((await look(composition, job_id)).status, await told(job_id)) == ("failed", 0)


async def test_of_a_job_that_ends_without_its_handler_its_domain_is_told(
    enqueue: Enqueue, runner, composition, client, user, told
) -> None:
    waiting = await enqueue()
    await client.post(f"/v1/jobs/{waiting}/cancel", headers=user.headers)
    assert await told(waiting) == 1

    heedless = await enqueue("wait")
    running = asyncio.create_task(run_once(runner, heedless))
    await asyncio.sleep(0.3)
    await client.post(f"/v1/jobs/{heedless}/cancel", headers=user.headers)
    assert await told(heedless) == 0
    await asyncio.wait_for(running, 10)
    assert (await look(composition, heedless)).status == "cancelled"
    assert await told(heedless) == 1

    endless = await enqueue("wait", job=HASTY)
    await run_once(runner, endless)
    assert ((await look(composition, endless)).status, await told(endless)) == ("retrying", 0)
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET state = 'queued', run_at = now(), attempt = max_attempts - 1 WHERE id = :id",
        id=endless,
    )
    await run_once(runner, endless)
    assert ((await look(composition, endless)).status, await told(endless)) == ("failed", 1)

    dying = await enqueue()
    await run_sql(
        composition,
        "UPDATE jobs.jobs SET state = 'running', crashes = 2, attempt = 1, lease_token = gen_random_uuid(),"
        " lease_expires_at = now() - interval '1 s', begun_at = now(), worker_id = 'x' WHERE id = :id",
        id=dying,
    )
    await composition.jobs.relay().recover()
    assert (await look(composition, dying)).status == "failed"
    assert await told(dying) == 1
