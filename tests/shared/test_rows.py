"""Rows are inserted, locked, changed by their methods and saved; an unsaved change is an error."""

from typing import ClassVar

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from domains.jobs.errors import JobNotRetryable
from domains.jobs.models import Job
from domains.jobs.schemas import JobRow
from shared.db.conflicts import Conflicts
from shared.db.database import Database
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
from shared.db.tracked_rows import UnsavedChange
from shared.db.transaction import require_transaction
from shared.ids import new_id

FIND = Statement(select(*columns(Job, JobRow)).where(col(Job.id) == param("job_id")), JobRow)
_SET_PRIORITY = Statement(update(Job).where(col(Job.id) == param("job_id")).values(priority=7), Nothing)


class Jobs(Repository):
    conflicts: ClassVar[Conflicts] = {"uq_jobs_unique_key": JobNotRetryable}

    @query(
        select(*columns(Job, Job))
        .where(col(Job.kind) == param("kind"))
        .order_by(col(Job.id))
        .with_for_update()
    )
    async def lock_kind(self, kind: str) -> list[Job]:
        """Lock all jobs of a kind."""

    @query(select(*columns(Job, Job)).where(col(Job.id) == param("job_id")))
    async def load(self, job_id) -> Job | None:
        """Return a job without locking it."""


@pytest.fixture
def database(app, composition) -> Database:
    return composition.database()


@pytest.fixture
def jobs(database) -> Jobs:
    return Jobs(database)


@pytest.fixture
async def job(database, jobs) -> Job:
    made = some_job()
    async with database.transaction():
        await jobs.insert(made)
    return made


def some_job() -> Job:
    return Job(id=new_id(), kind=f"tests.{new_id()}", queue="nobody", payload={"deep": [1, {"x": None}]})


async def find(database: Database, job: Job) -> JobRow | None:
    return await database.fetch_one(FIND, job_id=job.id)


async def test_a_locked_row_is_changed_and_saved(database, jobs, job) -> None:
    async with database.transaction():
        locked = await jobs.lock_row(Job, job.id)
        assert locked.payload == {"deep": [1, {"x": None}]}
        locked.queue = "somebody"
        locked.payload["deep"].append(True)
        await jobs.save(locked)
        await jobs.save(locked)
    found = await find(database, job)
    assert found.queue == "somebody"
    assert (await jobs.load(job.id)).payload == {"deep": [1, {"x": None}, True]}


async def test_only_what_changed_is_written(database, jobs, job) -> None:
    asked: list[str] = []
    async with database.transaction():
        locked = await jobs.lock_row(Job, job.id)
        connection = await require_transaction().connection()
        connection.add_query_logger(lambda record: asked.append(record.query))
        locked.queue = "somebody"
        await jobs.save(locked)
        await jobs.save(locked)
        await find(database, job)
    updates = [sql for sql in asked if sql.startswith("UPDATE")]
    assert updates == ["UPDATE jobs.jobs SET queue=$1::VARCHAR WHERE jobs.jobs.id = $2::UUID"]


@pytest.mark.parametrize(
    "change", [lambda job: setattr(job, "queue", "x"), lambda job: job.payload["deep"].pop()]
)
async def test_a_change_that_nobody_saves_fails_the_commit(change, database, jobs, job) -> None:
    with pytest.raises(UnsavedChange, match=r"Job was changed and not saved: (queue|payload)"):
        async with database.transaction():
            change(await jobs.lock_row(Job, job.id))
    assert (await find(database, job)).queue == "nobody"


async def test_so_does_one_after_the_insertion(database, jobs) -> None:
    made = some_job()
    with pytest.raises(UnsavedChange, match="queue"):
        async with database.transaction():
            await jobs.insert(made)
            made.queue = "somebody"
    assert await find(database, made) is None
    with pytest.raises(UnsavedChange, match="priority"):
        async with database.transaction():
            await jobs.insert_all([made, other := some_job()])
            other.priority = 1


async def test_an_inserted_row_can_be_saved(database, jobs) -> None:
    made = some_job()
    async with database.transaction():
        await jobs.insert(made)
        made.queue = "somebody"
        await jobs.save(made)
    assert (await find(database, made)).queue == "somebody"


async def test_a_query_that_locks_rows_has_them_saved_too(database, jobs, job) -> None:
    async with database.transaction():
        (locked,) = await jobs.lock_kind(job.kind)
        locked.queue = "somebody"
        await jobs.save(locked)
    assert (await find(database, job)).queue == "somebody"
    with pytest.raises(UnsavedChange):
        async with database.transaction():
            (locked,) = await jobs.lock_kind(job.kind)
            locked.queue = "nobody"


async def test_a_row_that_was_not_locked_cannot_be_saved(database, jobs, job) -> None:
    with pytest.raises(UnsavedChange, match="has not locked it"):
        async with database.transaction():
            await jobs.save(await jobs.load(job.id))


async def test_one_row_is_one_object(database, jobs, job) -> None:
    async with database.transaction():
        first = await jobs.lock_row(Job, job.id)
        first.queue = "somebody"
        with pytest.raises(UnsavedChange):
            await jobs.lock_row(Job, job.id)
        await jobs.save(first)
        assert await jobs.lock_row(Job, job.id) is first
        await database.execute(_SET_PRIORITY, job_id=job.id)
        assert (await jobs.lock_row(Job, job.id)).priority == first.priority == 7


async def test_what_is_not_there_is_none_and_what_is_deleted_is_gone(database, jobs, job) -> None:
    async with database.transaction():
        assert await jobs.lock_row(Job, new_id()) is None
        await jobs.delete(await jobs.lock_row(Job, job.id))
    assert await find(database, job) is None


async def test_a_violated_constraint_is_the_domains_error(database, jobs, job) -> None:
    one = some_job()
    one.kind, one.unique_key = job.kind, "only"
    async with database.transaction():
        await jobs.insert(one)
    with pytest.raises(JobNotRetryable):
        async with database.transaction():
            locked = await jobs.lock_row(Job, job.id)
            locked.unique_key = "only"
            await jobs.save(locked)
    another = some_job()
    another.kind, another.unique_key = job.kind, "only"
    with pytest.raises(JobNotRetryable):
        async with database.transaction():
            await jobs.insert_all([another])


async def test_a_part_of_a_request_that_failed_leaves_nothing_to_save(database, jobs, job) -> None:
    async def change_and_fail() -> None:
        async with database.transaction():
            (await jobs.lock_row(Job, job.id)).queue = "somebody"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with database.request_transaction():
            await change_and_fail()
    assert (await find(database, job)).queue == "nobody"
