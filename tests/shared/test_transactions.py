"""A transaction's use of its connection, and its state after an error."""

import asyncio
import os
import signal
from typing import ClassVar

import asyncpg
import pytest
from sqlalchemy import bindparam, delete, func, select
from sqlmodel import col

from domains.jobs.errors import JobNotRetryable
from domains.jobs.models import Job
from domains.jobs.schemas import JobRow
from shared.db import transaction as transactions
from shared.db.conflicts import Conflicts
from shared.db.database import Database
from shared.db.models import columns
from shared.db.query import query
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.db.transaction import TransactionMisusedError, require_transaction
from shared.errors import DatabaseUnavailable
from shared.ids import new_id

FIND = Statement(select(*columns(Job, JobRow)).where(col(Job.id) == bindparam("job_id")), JobRow)
DROP = Statement(delete(Job).where(col(Job.id) == bindparam("job_id")), Nothing)


class Jobs(Repository):
    conflicts: ClassVar[Conflicts] = {"pk_jobs": JobNotRetryable}

    @query(select(func.pg_backend_pid()))
    async def process(self) -> int:
        """Return the id of the server's process."""


@pytest.fixture
async def database(servers, settings):
    made = Database(servers.environment["DATABASE_URL"], pool_size=1, timeout=5)
    await made.start()
    yield made
    await made.stop()


def some_job() -> Job:
    return Job(id=new_id(), kind="tests.writers", queue="nobody", payload={"deep": [1, {"x": None}]})


async def test_what_is_added_has_what_its_model_says_and_the_databases_defaults(database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).insert(job)
    async with database.transaction():
        found = await Repository(database).lock_row(Job, job.id)
        assert found.payload == job.payload
        assert found.created_at is not None


async def test_a_collision_is_met_where_the_row_is_added(database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).insert(job)
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction():
            await Repository(database).insert(job)
    assert await database.fetch_one(FIND, job_id=job.id)


async def test_a_row_that_is_all_there_is_goes_alone(database) -> None:
    """Without BEGIN and COMMIT, so in one round trip; with a second statement all three are there."""
    asked: list[str] = []
    connection = await database.pool.acquire()
    connection.add_query_logger(lambda record: asked.append(record.query.split()[0]))
    database.pool.release(connection)
    one, two = some_job(), some_job()
    async with database.transaction():
        await Repository(database).insert(one)
        assert asked == []
    await asyncio.sleep(0)  # the driver tells a little later
    assert asked == ["INSERT"]
    async with database.transaction():
        await Repository(database).insert(two)
        assert await database.fetch_one(FIND, job_id=two.id)
    await asyncio.sleep(0)
    assert asked == ["INSERT", "BEGIN;", "INSERT", "SELECT", "COMMIT;"]


async def test_a_row_that_went_nowhere_is_not_there(database) -> None:
    job = some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            await Repository(database).insert(job)
            raise ZeroDivisionError
    assert await database.fetch_one(FIND, job_id=job.id) is None


async def test_a_transaction_without_statements_takes_no_connection(database) -> None:
    async with database.transaction(), database.transaction(separate=True):
        assert database.pools()[0].in_use == 0  # and there is but one


async def test_only_a_commit_that_need_not_be_durable_does_not_wait_for_the_disk(database) -> None:
    """The server of the tests never waits, so that the setting itself tells nothing; who set it does."""
    source = "SELECT source FROM pg_settings WHERE name = 'synchronous_commit'"
    for durable in (False, True):
        async with database.transaction(separate=True, durable=durable):
            is_set_here = await (await require_transaction().connection()).fetchval(source) == "session"
        assert is_set_here is not durable


@pytest.mark.parametrize("is_alone", [True, False])
async def test_a_collision_has_the_name_that_its_domain_gave_it(database, is_alone) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).insert(job)
    with pytest.raises(JobNotRetryable):
        async with database.transaction():
            await Jobs(database).insert(job)
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
                await Repository(database).insert(job)
    await observer.close()
    async with asyncio.timeout(10), database.transaction():
        await Repository(database).insert(some_job())


def test_a_row_is_made_of_what_its_table_has() -> None:
    first, second = Job(kind="a", queue="b"), Job(kind="a", queue="b")
    assert first.id != second.id
    assert first.payload == {}
    assert first.payload is not second.payload
    with pytest.raises(TypeError, match="no colour"):
        Job(kind="a", queue="b", colour="red")


async def test_nothing_is_added_outside_a_transaction(database) -> None:
    with pytest.raises(TransactionMisusedError):
        await Repository(database).insert(some_job())


async def test_one_connection_serves_transaction_after_transaction(database) -> None:
    used = set()
    for number in range(6):
        job = some_job()
        async with database.transaction():
            await Repository(database).insert(job)
            if number % 2:
                used.add(await Jobs(database).process())
        async with database.transaction():
            assert await database.execute(DROP, job_id=job.id) == 1
    assert len(used) == 1


async def test_a_transaction_that_was_cancelled_leaves_room_for_the_next(database) -> None:
    entered = asyncio.Event()

    async def sleep() -> None:
        async with database.transaction():
            await database.execute(DROP, job_id=new_id())
            entered.set()
            await (await require_transaction().connection()).execute("SELECT pg_sleep(60)")

    sleeping = asyncio.create_task(sleep())
    await entered.wait()
    sleeping.cancel()
    with pytest.raises((asyncio.CancelledError, DatabaseUnavailable)):
        await sleeping
    job = some_job()
    async with asyncio.timeout(10), database.transaction():
        await Repository(database).insert(job)
    assert await database.fetch_one(FIND, job_id=job.id)


async def test_a_connection_that_broke_is_a_503_once_and_then_replaced(database, servers) -> None:
    observer = await asyncpg.connect(servers.superuser_url)
    job = some_job()

    async def broken() -> None:
        async with database.transaction():
            await database.execute(DROP, job_id=job.id)
            process = await Jobs(database).process()
            await observer.execute("SELECT pg_terminate_backend($1, 5000)", process)
            await Repository(database).insert(job)

    with pytest.raises(DatabaseUnavailable):
        await broken()
    await observer.close()
    async with asyncio.timeout(10), database.transaction():
        await Repository(database).insert(job)
    assert await database.fetch_one(FIND, job_id=job.id)


async def test_a_database_that_freezes_before_the_rollback_holds_nobody_up(database, monkeypatch) -> None:
    monkeypatch.setattr(transactions, "ROLLBACK_SECONDS", 0.3)
    process = 0
    try:
        async with asyncio.timeout(3):
            with pytest.raises(ZeroDivisionError):
                async with database.transaction():
                    await Repository(database).insert(some_job())
                    await database.fetch_one(FIND, job_id=new_id())
                    process = await Jobs(database).process()
                    os.kill(process, signal.SIGSTOP)
                    raise ZeroDivisionError
            assert await database.fetch_one(FIND, job_id=new_id()) is None
            async with database.transaction():
                await Repository(database).insert(some_job())
    finally:
        os.kill(process, signal.SIGCONT)
