"""Which job a worker claims next."""

import asyncio

import pytest

from domains.jobs.service.runner import JobRunner
from shared.ids import new_id
from tests.domains.jobs.conftest import RAN, Enqueue
from tests.domains.jobs.seeing import claim, look, run_once, run_sql


async def test_a_job_can_be_claimed_once(enqueue: Enqueue, runner: JobRunner) -> None:
    job_id = await enqueue()
    claims = await asyncio.gather(*(claim(runner, job_id) for _ in range(8)))
    assert len([claim for claim in claims if claim]) == 1


async def test_one_living_job_for_a_unique_key(enqueue: Enqueue, runner, composition) -> None:
    key = str(new_id())
    first = await enqueue(unique_key=key)
    assert await enqueue(unique_key=key) == first
    await run_once(runner, first)
    assert await enqueue(unique_key=key) != first


async def test_one_running_job_for_a_concurrency_key(enqueue: Enqueue, runner) -> None:
    key = str(new_id())
    first, second = await enqueue(concurrency_key=key), await enqueue(concurrency_key=key)
    held = await claim(runner, first)
    assert held is not None
    assert await claim(runner, second) is None
    await runner.run(held)
    assert await claim(runner, second) is not None


async def test_two_claims_under_one_concurrency_key_at_the_same_moment(enqueue: Enqueue, runner) -> None:
    key = str(new_id())
    jobs = [await enqueue(concurrency_key=key) for _ in range(6)]
    claims = await asyncio.gather(*(claim(runner, job_id) for job_id in jobs))
    assert len([claim for claim in claims if claim]) == 1


async def test_a_wake_up_lets_the_worker_loop_run_the_queue_in_order(
    enqueue: Enqueue, runner, composition
) -> None:
    while await runner.claim_next("tests"):
        pass
    for number in range(5):
        await enqueue(number=900 + number)
    assert await runner.run_worker_loop("tests") == 5
    assert await runner.run_worker_loop("tests") == 0
    assert [ask.number for ask in RAN[-5:]] == [900, 901, 902, 903, 904]


async def test_a_chain_of_one_at_a_time_runs_without_new_wake_ups(
    enqueue: Enqueue, runner, composition
) -> None:
    while await runner.claim_next("tests"):
        pass
    key = str(new_id())
    jobs = [await enqueue("return", concurrency_key=key) for _ in range(4)]
    assert await runner.run_worker_loop("tests") == 4
    assert [(await look(composition, job_id)).status for job_id in jobs] == ["succeeded"] * 4


async def test_a_job_that_only_returns_succeeds_once_and_the_next_follows(
    enqueue, runner, composition
) -> None:
    while await runner.claim_next("tests"):
        pass
    first, second = await enqueue("return"), await enqueue("return")
    await run_sql(composition, "UPDATE jobs.jobs SET created_at = created_at WHERE id = :id", id=first)
    sleeper = await claim(runner, first)
    await run_sql(
        composition, "UPDATE jobs.jobs SET lease_token = gen_random_uuid() WHERE id = :id", id=first
    )
    following = await runner.run(sleeper, then_from="tests")
    assert (await look(composition, first)).status == "running"
    assert following is not None
    assert following.id == second


async def test_an_owner_has_a_limit_of_waiting_jobs(composition, declared: None, app) -> None:
    from domains.jobs.errors import TooManyJobs
    from domains.jobs.service.store import RowJobStore
    from domains.jobs.settings import JobsSettings
    from shared.jobs import NewJob

    store = RowJobStore(
        rows=composition.jobs.rows(),
        wake_ups=composition.jobs.wake_ups(),
        settings=JobsSettings(jobs_owner_waiting=3),
    )
    owner, other = new_id(), new_id()

    async def add(owner_id, **more) -> None:
        async with composition.database().transaction():
            await store.add([NewJob("tests.obey", "tests", {}, owner_id=owner_id, **more)])

    for _ in range(3):
        await add(owner)
    for more in ({}, {"unique_key": "once"}):
        with pytest.raises(TooManyJobs) as refused:
            await add(owner, **more)
        assert refused.value.status == 429
        assert "Retry-After" in refused.value.headers
    await add(other)
    await add(None)


async def test_a_job_that_crashed_is_taken_by_who_runs_nothing_else(
    enqueue: Enqueue, runner, composition
) -> None:
    while await runner.claim_next("tests"):
        pass
    suspect, another = await enqueue(), await enqueue()
    await run_sql(composition, "UPDATE jobs.jobs SET crashes = 1 WHERE id = :id", id=suspect)
    beside = await runner.claim_next("tests", alone=False)
    assert beside.id == another
    assert await runner.claim_next("tests", alone=False) is None
    alone = await runner.claim_next("tests", alone=True)
    assert (alone.id, alone.crashes) == (suspect, 1)
