"""All transactions of a request as one: it begins with the first write and commits or rolls back at the end."""

import asyncio

import pytest
from sqlalchemy import bindparam, delete, select
from sqlmodel import col

from domains.jobs.models import Job
from domains.jobs.schemas import JobRow
from shared.db.database import Database
from shared.db.models import columns
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.db.transaction import TransactionMisusedError, after_commit, current_transaction

FIND = Statement(select(*columns(Job, JobRow)).where(col(Job.id) == bindparam("job_id")), JobRow)
DROP = Statement(delete(Job).where(col(Job.id) == bindparam("job_id")), Nothing)


@pytest.fixture
def database(app, composition) -> Database:
    return composition.database()


def some_job() -> Job:
    return Job(kind="tests.row", queue="nobody")


async def add(database: Database, job: Job, *, separate: bool = False) -> None:
    async with database.transaction(separate=separate):
        await Repository(database).insert(job)


async def is_there(database: Database, job: Job) -> bool:
    """Look as somebody else would."""

    async def look() -> bool:
        return await database.fetch_one(FIND, job_id=job.id) is not None

    return await asyncio.create_task(look())


async def test_several_transactions_commit_together_at_the_end(database: Database) -> None:
    one, two = some_job(), some_job()
    told: list[str] = []
    async with database.request_transaction():
        await add(database, one)
        async with database.transaction():
            await Repository(database).insert(two)
            after_commit(lambda: told.append("committed"))
        assert not await is_there(database, one)
        assert await database.fetch_one(FIND, job_id=one.id) is not None
        assert told == []
    assert await is_there(database, one)
    assert await is_there(database, two)
    assert told == ["committed"]


async def test_nothing_is_left_when_the_whole_fails(database: Database) -> None:
    job = some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.request_transaction():
            await add(database, job)
            raise ZeroDivisionError
    assert not await is_there(database, job)


async def test_reads_need_no_connection_before_the_first_write(database: Database) -> None:
    job = some_job()
    async with database.request_transaction():
        assert await database.fetch_one(FIND, job_id=job.id) is None
        opened = current_transaction.get()
        assert opened is not None
        assert not opened.has_connection
        await add(database, job)
        assert opened.has_connection


async def test_a_single_statement_that_writes_is_a_part_of_the_whole(database: Database) -> None:
    job = some_job()
    await add(database, job)
    with pytest.raises(ZeroDivisionError):
        async with database.request_transaction():
            assert await database.execute(DROP, job_id=job.id) == 1
            raise ZeroDivisionError
    assert await is_there(database, job)


async def test_a_part_that_failed_is_rolled_back_at_once_and_spoils_the_whole(database: Database) -> None:
    one, two = some_job(), some_job()
    await add(database, one)
    with pytest.raises(TransactionMisusedError):
        async with database.request_transaction():
            with pytest.raises(ZeroDivisionError):
                async with database.transaction():
                    assert await database.execute(DROP, job_id=one.id) == 1
                    raise ZeroDivisionError
            # The lock is gone: a separate transaction need not wait for it.
            async with asyncio.timeout(5), database.transaction(separate=True):
                await Repository(database).insert(two)
                assert await database.execute(DROP, job_id=one.id) == 1
    assert not await is_there(database, one)
    assert await is_there(database, two)


async def test_what_asks_for_its_own_transaction_stays_apart(database: Database) -> None:
    apart, together = some_job(), some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.request_transaction():
            await add(database, together)
            await add(database, apart, separate=True)
            raise ZeroDivisionError
    assert await is_there(database, apart)
    assert not await is_there(database, together)


async def test_other_tasks_have_transactions_of_their_own(database: Database) -> None:
    theirs = some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.request_transaction():
            await add(database, some_job())
            await asyncio.create_task(add(database, theirs))
            raise ZeroDivisionError
    assert await is_there(database, theirs)


async def test_between_its_parts_nothing_is_written(database: Database) -> None:
    async with database.request_transaction():
        with pytest.raises(TransactionMisusedError):
            await Repository(database).insert(some_job())
        with pytest.raises(TransactionMisusedError):
            after_commit(print)
