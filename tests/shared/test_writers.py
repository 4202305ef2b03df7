"""A transaction is one, whether compiled statements or a session work in it."""

import asyncio
import os
import signal

import asyncpg
import pytest
from sqlalchemy import bindparam, delete, func, select, text
from sqlmodel import col

from domains.jobs.errors import JobNotRetryable
from domains.jobs.models import Job
from domains.jobs.schemas import JobRow
from shared.db import writers
from shared.db.database import Database
from shared.db.models import columns
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.db.transaction import TransactionMisusedError, current_session
from shared.errors import DatabaseUnavailable
from shared.ids import new_id
from shared.schemas import Row

FIND = Statement(select(*columns(Job, JobRow)).where(col(Job.id) == bindparam("job_id")), JobRow)
DROP = Statement(delete(Job).where(col(Job.id) == bindparam("job_id")), Nothing)


class Backend(Row):
    pid: int


BACKEND = Statement(select(func.pg_backend_pid().label("pid")), Backend)


@pytest.fixture
async def database(servers, settings):
    made = Database(servers.environment["DATABASE_URL"], pool_size=1, timeout=5)
    await made.start()
    yield made
    await made.stop()


def some_job() -> Job:
    return Job(id=new_id(), kind="tests.writers", queue="nobody", payload={"deep": [1, {"x": None}]})


async def test_a_session_and_statements_see_each_others_work(database) -> None:
    one, two = some_job(), some_job()
    async with database.transaction():
        await Repository(database).add(one)
        (await current_session()).add(two)
        assert await database.fetch_one(FIND, job_id=two.id)
        found = await (await current_session()).get(Job, one.id)
        assert found is not None
        found.queue = "somebody"
        assert (await database.fetch_one(FIND, job_id=one.id)).queue == "somebody"
    assert (await database.fetch_one(FIND, job_id=one.id)).queue == "somebody"
    assert await database.fetch_one(FIND, job_id=two.id)


async def test_both_are_rolled_back_together(database) -> None:
    one, two = some_job(), some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            await Repository(database).add(one)
            (await current_session()).add(two)
            await database.fetch_one(FIND, job_id=two.id)
            raise ZeroDivisionError
    assert await database.fetch_one(FIND, job_id=one.id) is None
    assert await database.fetch_one(FIND, job_id=two.id) is None


async def test_what_is_added_has_what_its_model_says_and_the_databases_defaults(database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).add(job)
    async with database.transaction():
        found = await (await current_session()).get(Job, job.id)
        assert found.payload == job.payload
        assert found.created_at is not None


async def test_a_collision_is_met_where_the_row_is_added(database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).add(job)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction():
            await Repository(database).add(job)
    assert await database.fetch_one(FIND, job_id=job.id)


async def test_a_row_that_is_all_there_is_goes_alone(database) -> None:
    """Without BEGIN and COMMIT, so in one round trip; with a second statement all three are there."""
    asked: list[str] = []
    writer = await database._writers.take()
    writer.driver.add_query_logger(lambda record: asked.append(record.query.split()[0]))
    database._writers.give_back(writer)
    one, two = some_job(), some_job()
    async with database.transaction():
        await Repository(database).add(one)
        assert asked == []
    await asyncio.sleep(0)  # the driver tells a little later
    assert asked == ["INSERT"]
    async with database.transaction():
        await Repository(database).add(two)
        assert await database.fetch_one(FIND, job_id=two.id)
    await asyncio.sleep(0)
    assert asked == ["INSERT", "BEGIN;", "INSERT", "SELECT", "COMMIT;"]


async def test_a_row_that_went_nowhere_is_not_there(database) -> None:
    job = some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            await Repository(database).add(job)
            raise ZeroDivisionError
    assert await database.fetch_one(FIND, job_id=job.id) is None


async def test_a_transaction_without_statements_takes_no_connection(database) -> None:
    async with database.transaction(), database.transaction(separate=True):
        assert database.pools()[1].in_use == 0  # and there is but one


async def test_only_a_commit_that_need_not_be_durable_does_not_wait_for_the_disk(database) -> None:
    """The server of the tests never waits, so that the setting itself tells nothing; who set it does."""
    source = text("SELECT source FROM pg_settings WHERE name = 'synchronous_commit'")
    for durable in (False, True):
        async with database.transaction(separate=True, durable=durable):
            is_set_here = (await (await current_session()).exec(source)).scalar_one() == "session"
        assert is_set_here is not durable


@pytest.mark.parametrize("is_alone", [True, False])
async def test_a_collision_has_the_name_that_its_domain_gave_it(database, is_alone) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).add(job)
    with pytest.raises(JobNotRetryable):
        async with database.transaction():
            await Repository(database).add(job, conflicts={"pk_jobs": JobNotRetryable})
            if not is_alone:
                await database.fetch_one(FIND, job_id=job.id)
    assert await database.fetch_one(FIND, job_id=job.id)


async def test_a_lone_row_that_is_cut_off_costs_its_connection_only(database, servers) -> None:
    observer = await asyncpg.connect(servers.superuser_url)
    job = some_job()
    async with observer.transaction():
        await observer.execute("LOCK TABLE jobs.jobs IN EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), database.transaction():
                await Repository(database).add(job)
    await observer.close()
    async with asyncio.timeout(10), database.transaction():
        await Repository(database).add(some_job())


def test_a_row_is_made_of_what_its_table_has() -> None:
    first, second = Job(kind="a", queue="b"), Job(kind="a", queue="b")
    assert first.id != second.id
    assert first.payload == {}
    assert first.payload is not second.payload
    with pytest.raises(TypeError, match="no colour"):
        Job(kind="a", queue="b", colour="red")


async def test_nothing_is_added_outside_a_transaction(database) -> None:
    with pytest.raises(TransactionMisusedError):
        await Repository(database).add(some_job())


@pytest.mark.parametrize("with_session", [False, True])
async def test_one_connection_serves_transaction_after_transaction(database, with_session) -> None:
    used = set()
    for number in range(6):
        job = some_job()
        async with database.transaction():
            await Repository(database).add(job)
            if with_session or number % 2:
                used.add((await (await current_session()).exec(text("SELECT pg_backend_pid()"))).scalar_one())
        async with database.transaction():
            assert await database.execute(DROP, job_id=job.id) == 1
    assert len(used) == 1


async def test_a_transaction_that_was_cancelled_leaves_room_for_the_next(database) -> None:
    entered = asyncio.Event()

    async def sleep() -> None:
        async with database.transaction():
            await database.execute(DROP, job_id=new_id())
            entered.set()
            await (await (await current_session()).connection()).execute(text("SELECT pg_sleep(60)"))

    sleeping = asyncio.create_task(sleep())
    await entered.wait()
    sleeping.cancel()
    with pytest.raises((asyncio.CancelledError, DatabaseUnavailable)):
        await sleeping
    job = some_job()
    async with asyncio.timeout(10), database.transaction():
        await Repository(database).add(job)
    assert await database.fetch_one(FIND, job_id=job.id)


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_connection_that_broke_is_a_503_once_and_then_replaced(
    database, servers, with_session
) -> None:
    observer = await asyncpg.connect(servers.superuser_url)
    job = some_job()

    async def broken() -> None:
        async with database.transaction():
            await database.execute(DROP, job_id=job.id)
            process = (await (await current_session()).exec(text("SELECT pg_backend_pid()"))).scalar_one()
            await observer.execute("SELECT pg_terminate_backend($1, 5000)", process)
            if with_session:
                (await current_session()).add(job)
            else:
                await Repository(database).add(job)

    with pytest.raises(DatabaseUnavailable):
        await broken()
    await observer.close()
    async with asyncio.timeout(10), database.transaction():
        await Repository(database).add(job)
    assert await database.fetch_one(FIND, job_id=job.id)


@pytest.mark.parametrize("by_session", [False, True])
async def test_a_database_that_freezes_before_the_rollback_holds_nobody_up(
    database, monkeypatch, by_session
) -> None:
    monkeypatch.setattr(writers, "ROLLBACK_SECONDS", 0.3)
    process = 0
    try:
        async with asyncio.timeout(3):
            with pytest.raises(ZeroDivisionError):
                async with database.transaction():
                    await Repository(database).add(some_job())
                    if by_session:
                        (await current_session()).add(some_job())
                    await database.fetch_one(FIND, job_id=new_id())
                    process = (await database.fetch_one(BACKEND)).pid
                    os.kill(process, signal.SIGSTOP)
                    raise ZeroDivisionError
            assert await database.fetch_one(FIND, job_id=new_id()) is None
            async with database.transaction():
                await Repository(database).add(some_job())
    finally:
        os.kill(process, signal.SIGCONT)
