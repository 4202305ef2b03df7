"""Transactions: which one commits, nesting, separate ones, and an unavailable database."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.jobs.models import Job, JobState
from domains.jobs.schemas import JobRow
from shared.db.database import Database
from shared.db.models import columns
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.db.transaction import TransactionMisusedError, after_commit, require_transaction
from shared.errors import DatabaseUnavailable, Outage
from shared.ids import new_id

FIND = Statement(select(*columns(Job, JobRow)).where(col(Job.id) == bindparam("job_id")), JobRow)
DROP = Statement(delete(Job).where(col(Job.id) == bindparam("job_id")), Nothing)


def some_job() -> Job:
    return Job(kind="tests.row", queue="nobody", result={"ein": ["Baum", None, 1.5]})


@pytest.fixture
def database(app, composition) -> Database:
    return composition.database()


async def is_there(database: Database, job: Job) -> bool:
    return await database.fetch_one(FIND, job_id=job.id) is not None


async def test_a_transaction_commits_at_its_end(database: Database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).insert(job)
    assert await is_there(database, job)


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    job = some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            await Repository(database).insert(job)
            assert await is_there(database, job)
            raise ZeroDivisionError
    assert not await is_there(database, job)


async def test_an_inner_transaction_joins_the_outer_one(database: Database) -> None:
    job = some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            async with database.transaction():
                await Repository(database).insert(job)
            raise ZeroDivisionError
    assert not await is_there(database, job)


async def test_a_transaction_of_its_own_survives_the_failure_around_it(database: Database) -> None:
    kept, lost = some_job(), some_job()
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            await Repository(database).insert(lost)
            async with database.transaction(separate=True):
                await Repository(database).insert(kept)
            raise ZeroDivisionError
    assert await is_there(database, kept)
    assert not await is_there(database, lost)


async def test_a_failed_part_cannot_be_committed_with_the_rest(database: Database) -> None:
    job = some_job()
    with pytest.raises(TransactionMisusedError):
        async with database.transaction():
            await Repository(database).insert(job)
            try:
                async with database.transaction():
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
    assert not await is_there(database, job)


async def test_another_task_cannot_use_the_transaction(database: Database) -> None:
    async def intrude() -> None:
        await database.fetch_one(FIND, job_id=new_id())

    async def join() -> None:
        async with database.transaction():
            pass

    async with database.transaction():
        for intruder in (intrude, join):
            with pytest.raises(TransactionMisusedError):
                await asyncio.create_task(intruder())


async def test_a_read_inside_sees_what_was_written_inside(database: Database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).insert(job)
        assert await is_there(database, job)
        assert await database.execute(DROP, job_id=job.id) == 1
        assert not await is_there(database, job)


async def test_both_ways_of_reading_convert_alike(database: Database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).insert(job)
        inside = await database.fetch_one(FIND, job_id=job.id)
    outside = await database.fetch_one(FIND, job_id=job.id)
    assert inside == outside
    assert outside is not None
    assert outside.result == {"ein": ["Baum", None, 1.5]}
    assert outside.state is JobState.QUEUED
    assert outside.created_at.utcoffset() is not None
    assert isinstance(outside.id, UUID)


async def test_callbacks_run_after_the_commit_only(database: Database) -> None:
    told: list[str] = []
    async with database.transaction():
        after_commit(lambda: told.append("first"))
        after_commit(lambda: 1 // 0)
        after_commit(lambda: told.append("last"))
        assert told == []
    assert told == ["first", "last"]
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            after_commit(lambda: told.append("never"))
            raise ZeroDivisionError
    assert told == ["first", "last"]


async def test_rows_are_written_in_transactions_only(database: Database) -> None:
    job = some_job()
    repository = Repository(database)
    for write in (repository.insert(job), repository.lock_row(Job, job.id), repository.save(job)):
        with pytest.raises(TransactionMisusedError):
            await write
    with pytest.raises(TransactionMisusedError):
        after_commit(lambda: None)


async def test_a_database_that_was_not_started_says_so() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(RuntimeError):
        await database.fetch_one(FIND, job_id=new_id())
    with pytest.raises(RuntimeError):
        async with database.transaction():
            pass


async def test_a_database_that_is_away_is_one_error() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing", timeout=1)
    await database.start()
    try:
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.fetch_one(FIND, job_id=new_id())
        assert caught.value.headers == {"Retry-After": "2"}
        with pytest.raises(DatabaseUnavailable):
            await database.execute(DROP, job_id=new_id())
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction():
                await database.fetch_one(FIND, job_id=new_id())
    finally:
        await database.stop()


async def test_an_empty_pool_is_the_same_error(settings) -> None:
    database = Database(settings.database_url.get_secret_value(), pool_size=1, timeout=0.3)
    await database.start()
    try:
        async with database.transaction():
            await database.fetch_one(FIND, job_id=new_id())
            with pytest.raises(DatabaseUnavailable):
                async with database.transaction(separate=True):
                    await database.fetch_one(FIND, job_id=new_id())
    finally:
        await database.stop()


async def test_the_applications_role_may_not_change_tables(database: Database) -> None:
    for forbidden in ("CREATE TABLE jobs.more (x int)", "DROP TABLE jobs.jobs", "CREATE SCHEMA more"):
        with pytest.raises(DatabaseUnavailable) as caught:
            async with database.transaction():
                await (await require_transaction().connection()).execute(forbidden)
        assert caught.value.outage is Outage.NO_RIGHTS


@pytest.mark.parametrize("parameters", [{}, {"job_id": 1, "more": 2}, {"jobid": 1}])
async def test_misspelt_parameters_are_refused(parameters, database: Database) -> None:
    with pytest.raises(TypeError, match="takes"):
        await database.fetch_all(FIND, **parameters)
    async with database.transaction():
        with pytest.raises(TypeError, match="takes"):
            await database.fetch_all(FIND, **parameters)


def test_in_with_a_parameter_is_refused_when_it_is_written() -> None:
    with pytest.raises(TypeError, match="any_"):
        Statement(select(col(Job.id)).where(col(Job.id).in_(bindparam("ids", expanding=True))), Nothing)


def test_rows_of_no_model_are_refused_when_the_statement_is_written() -> None:
    with pytest.raises(TypeError, match="a field for each column"):
        Statement(select(col(Job.id)), UUID)


async def test_any_takes_a_list(database: Database) -> None:
    job = some_job()
    async with database.transaction():
        await Repository(database).insert(job)
    many = Statement(
        select(*columns(Job, JobRow)).where(col(Job.id) == any_(bindparam("ids", type_=ARRAY(Uuid())))),
        JobRow,
    )
    assert [row.id for row in await database.fetch_all(many, ids=[job.id, new_id()])] == [job.id]


async def test_a_violated_constraint_gets_its_domains_name(database: Database) -> None:
    from domains.jobs.errors import JobNotRetryable
    from shared.db.conflicts import conflicts_translated

    insert_it = Statement(
        insert(Job)
        .values(
            id=bindparam("new_id"), kind="tests.row", queue="nobody", payload={}, payload_version=1, state="queued",
            priority=1, turn=0, attempt=0, max_attempts=1, crashes=0, progress_current=0, revision=1,
            unique_key=bindparam("key"),
        ),
        Nothing,
    )  # fmt: skip
    key = str(new_id())
    await database.execute(insert_it, new_id=new_id(), key=key)
    known = {"uq_jobs_unique_key": JobNotRetryable}
    with pytest.raises(JobNotRetryable), conflicts_translated(known):
        await database.execute(insert_it, new_id=new_id(), key=key)
    with pytest.raises(JobNotRetryable):
        async with database.transaction():
            with conflicts_translated(known):
                await database.execute(insert_it, new_id=new_id(), key=key)
    with pytest.raises(Exception, match="uq_jobs_unique_key"), conflicts_translated({}):
        await database.execute(insert_it, new_id=new_id(), key=key)


def test_a_default_that_only_python_makes_is_refused_when_it_is_written() -> None:
    with pytest.raises(TypeError, match="Python defaults"):
        Statement(insert(Job).values(kind="tests.row"), Nothing)


async def test_a_restart_of_postgresql_costs_no_transaction_after_it(servers, composition) -> None:
    database = Database(composition.settings().database_url.get_secret_value(), pool_size=2)
    await database.start()
    observer = await asyncpg.connect(servers.superuser_url)
    try:
        async with database.transaction():
            pid = await (await require_transaction().connection()).fetchval("SELECT pg_backend_pid()")
        await observer.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        async with asyncio.timeout(10):
            while database.pools()[-1].idle and not _is_closed(database):
                await asyncio.sleep(0.01)
        job = some_job()
        async with database.transaction():
            await Repository(database).insert(job)
        assert await is_there(database, job)
    finally:
        await observer.close()
        await database.stop()


def _is_closed(database: Database) -> bool:
    """Whether the driver has heard that its connection was ended."""
    ((_, connection),) = database.pool._idle
    closed: bool = connection.is_closed()
    return closed
