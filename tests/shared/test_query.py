"""A method under `@query` runs its statement: its arguments, its result, and errors at import."""

import inspect
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import ARRAY, Integer, Uuid, any_, delete, func, insert, select, update
from sqlmodel import col

from domains.jobs.errors import JobNotRetryable
from domains.jobs.models import Job, JobState
from domains.jobs.schemas import JobRow
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository
from shared.db.transaction import TransactionMisusedError
from shared.ids import new_id
from shared.schemas import Row

JOB = select(*columns(Job, JobRow))
BY_ID = col(Job.id) == param("job_id")


class Totals(Row):
    number: int
    latest: datetime | None


class Jobs(Repository):
    @query(JOB.where(BY_ID))
    async def find(self, job_id: UUID) -> JobRow | None:
        """Return a job by id."""

    @query(JOB.where(col(Job.kind) == param("kind")).order_by(col(Job.id)).limit(param("most", Integer)))
    async def of_kind(self, kind: str, *, most: int = 2) -> list[JobRow]:
        """Return jobs of a kind."""

    @query(
        select(func.count().label("number"), func.max(Job.created_at).label("latest")).where(
            col(Job.kind) == param("kind")
        )
    )
    async def totals(self, kind: str) -> Totals:
        """Return an aggregate, which is always there."""

    @query(select(func.count()).where(col(Job.kind) == param("kind")))
    async def count(self, kind: str) -> int:
        """Return a number."""

    @query(select(col(Job.state)).where(BY_ID))
    async def state(self, job_id: UUID) -> JobState | None:
        """Return an enum."""

    @query(select(col(Job.state)).where(BY_ID))
    async def state_for_sure(self, job_id: UUID) -> JobState:
        """Return an enum, and never nothing."""

    @query(select(col(Job.result)).where(BY_ID))
    async def result(self, job_id: UUID) -> dict[str, list[int]] | None:
        """Return JSON."""

    @query(select(col(Job.id)).where(col(Job.id) == any_(param("ids", ARRAY(Uuid)))).order_by(col(Job.id)))
    async def those_of(self, ids: list[UUID]) -> list[UUID]:
        """Return those of these ids that exist."""

    @query(select(col(Job.priority) > param("least")).where(BY_ID))
    async def is_above(self, job_id: UUID, least: int) -> bool:
        """Return a boolean column."""

    @query(select(col(Job.id)).where(BY_ID))
    async def exists(self, job_id: UUID) -> bool:
        """Tell whether a row was found."""

    @query(update(Job).where(BY_ID).values(kind=param("kind"), priority=7, result=param("result")))
    async def change(self, job_id: UUID, kind: str, result: dict[str, list[int]] | None = None) -> bool:
        """Tell whether a row was changed."""

    @query(delete(Job).where(col(Job.kind) == param("kind")))
    async def drop(self, kind: str) -> int:
        """Return how many were deleted."""

    @query(update(Job).where(BY_ID).values(result=None).returning(col(Job.kind)))
    async def clear(self, job_id: UUID) -> str | None:
        """Return a column of what was changed."""

    @query(update(Job).where(col(Job.kind) == param("kind")).values(kind="other").returning(col(Job.kind)))
    async def rename(self, kind: str) -> str | None:
        """Take a parameter with the name of a column that is given a constant."""

    @query(
        update(Job).where(BY_ID).values(unique_key=param("key")),
        conflicts={"uq_jobs_unique_key": JobNotRetryable},
    )
    async def set_key(self, job_id: UUID, key: str) -> None:
        """Set the unique key."""


@pytest.fixture
def jobs(app, composition) -> Jobs:
    return Jobs(composition.database())


@pytest.fixture
async def some(jobs, composition) -> list[Job]:
    kind = f"tests.query.{new_id()}"
    made = [Job(kind=kind, queue="nobody", result={"tree": [1, 2]}) for _ in range(3)]
    async with composition.database().transaction():
        for job in made:
            await jobs.insert(job)
    return sorted(made, key=lambda job: job.id)


async def test_rows_are_models(jobs: Jobs, some: list[Job]) -> None:
    first = await jobs.find(some[0].id)
    assert first is not None
    assert (first.id, first.state, first.result) == (some[0].id, JobState.QUEUED, {"tree": [1, 2]})
    assert await jobs.find(new_id()) is None
    assert [row.id for row in await jobs.of_kind(some[0].kind)] == [some[0].id, some[1].id]
    assert (await jobs.totals(some[0].kind)).number == 3
    assert (await jobs.totals("tests.none")) == Totals(number=0, latest=None)


async def test_a_plain_type_is_the_only_column(jobs: Jobs, some: list[Job]) -> None:
    assert await jobs.count(some[0].kind) == 3
    assert await jobs.state(some[0].id) is JobState.QUEUED
    assert await jobs.state(new_id()) is None
    assert await jobs.result(some[0].id) == {"tree": [1, 2]}
    assert await jobs.those_of([some[1].id, new_id(), some[0].id]) == [some[0].id, some[1].id]
    assert await jobs.is_above(some[0].id, least=-1) is True
    assert await jobs.is_above(some[0].id, least=100) is False


async def test_a_row_that_must_be_there_and_is_not_is_an_error(jobs: Jobs) -> None:
    with pytest.raises(LookupError, match=r"Jobs.state_for_sure found no row"):
        await jobs.state_for_sure(new_id())


async def test_changes_say_how_many_whether_or_nothing(jobs: Jobs, some: list[Job]) -> None:
    assert await jobs.exists(some[0].id) is True
    assert await jobs.exists(new_id()) is False
    assert await jobs.change(some[0].id, some[0].kind, {"tree": [3]}) is True
    assert await jobs.change(new_id(), "tests.none") is False
    assert await jobs.result(some[0].id) == {"tree": [3]}
    assert await jobs.clear(some[0].id) == some[0].kind
    assert await jobs.result(some[0].id) is None
    assert await jobs.drop(some[0].kind) == 3
    assert await jobs.drop(some[0].kind) == 0


async def test_a_constant_is_not_taken_for_a_parameter_of_the_same_name(jobs: Jobs, some: list[Job]) -> None:
    assert await jobs.rename(some[0].kind) == "other"


async def test_arguments_are_those_of_the_method(jobs: Jobs, some: list[Job]) -> None:
    assert len(await jobs.of_kind(kind=some[0].kind, most=3)) == 3
    with pytest.raises(TypeError, match=r"Jobs.of_kind\(\) takes 2 positional arguments but 3 were given"):
        await jobs.of_kind(some[0].kind, 3)  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"Jobs.find\(\) missing 1 required positional argument: 'job_id'"):
        await jobs.find()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Jobs.find\(\) got an unexpected keyword argument 'id'"):
        await jobs.find(id=some[0].id)  # type: ignore[call-arg]


async def test_it_runs_in_the_open_transaction(jobs: Jobs, some: list[Job]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with jobs.database.transaction():
            assert await jobs.drop(some[0].kind) == 3
            assert await jobs.find(some[0].id) is None
            assert await jobs.result(some[0].id) is None
            raise ZeroDivisionError
    assert await jobs.find(some[0].id) is not None


async def test_json_is_the_same_inside_of_a_transaction(jobs: Jobs, some: list[Job]) -> None:
    async with jobs.database.transaction():
        assert await jobs.result(some[0].id) == {"tree": [1, 2]}
        assert await jobs.find(some[0].id) == await _outside(jobs, some[0].id)


async def _outside(jobs: Jobs, job_id: UUID) -> JobRow | None:
    async with jobs.database.transaction(separate=True):
        return await jobs.find(job_id)


async def test_a_violated_constraint_is_the_error_of_the_domain(jobs: Jobs, some: list[Job]) -> None:
    key = str(new_id())
    await jobs.set_key(some[0].id, key)
    with pytest.raises(JobNotRetryable):
        await jobs.set_key(some[1].id, key)


def test_help_shows_signature_and_docstring() -> None:
    assert inspect.iscoroutinefunction(Jobs.find)
    assert (
        str(inspect.signature(Jobs.find)) == "(self, job_id: uuid.UUID) -> domains.jobs.schemas.JobRow | None"
    )
    assert Jobs.find.__doc__ == "Return a job by id."
    assert Jobs.find.__qualname__ == "Jobs.find"


async def misspelt(self, job: UUID) -> JobRow | None: ...
async def superfluous(self, job_id: UUID, kind: str) -> JobRow | None: ...
async def plain_of_many(self, job_id: UUID) -> str | None: ...
async def union(self, job_id: UUID) -> str | int | None: ...
async def unannotated(self, job_id: UUID): ...
async def lacking(self, job_id: UUID) -> Totals | None: ...
async def any_object(self, job_id: UUID) -> list[object]: ...


@pytest.mark.parametrize(
    "method",
    [misspelt, superfluous, plain_of_many, union, unannotated, lacking, any_object],
    ids=lambda m: m.__name__,
)
def test_what_does_not_fit_is_refused_at_import(method) -> None:
    with pytest.raises(TypeError, match=method.__qualname__):
        query(JOB.where(BY_ID))(method)


def test_text_is_not_taken_for_an_enum() -> None:
    async def state(self, job_id: UUID) -> JobState | None: ...

    with pytest.raises(TypeError, match="would return text"):
        query(select(col(Job.kind)).where(BY_ID))(state)


def test_rows_of_a_statement_without_returning_are_refused() -> None:
    async def add(self, job_id: UUID) -> UUID: ...

    with pytest.raises(TypeError, match="can't return"):
        query(delete(Job).where(BY_ID))(add)


def test_what_cannot_be_compiled_ahead_is_refused() -> None:
    async def find(self, ids: list[UUID]) -> list[JobRow]: ...

    with pytest.raises(TypeError, match="any_"):
        query(JOB.where(col(Job.id).in_(param("ids"))))(find)

    async def add(self, kind: str) -> None: ...

    with pytest.raises(TypeError, match="Python defaults"):
        query(insert(Job).values(kind=param("kind")))(add)


async def test_another_task_cannot_use_the_transaction(jobs: Jobs) -> None:
    import asyncio

    async with jobs.database.transaction():
        with pytest.raises(TransactionMisusedError):
            await asyncio.create_task(jobs.find(new_id()))
