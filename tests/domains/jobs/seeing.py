"""What tests of jobs do and look at besides HTTP."""

from uuid import UUID

from sqlalchemy import text

from bootstrap.container import TulouContainer
from domains.jobs.service.runner import JobRunner
from shared.transactions import current_session


async def look(composition: TulouContainer, job_id: UUID):
    job = await composition.jobs.rows().find(job_id)
    assert job is not None
    return job


async def run_sql(composition: TulouContainer, statement: str, **values: object) -> None:
    async with composition.database().transaction():
        connection = await (await current_session()).connection()
        await connection.execute(text(statement), values)


async def run_once(runner: JobRunner, job_id: UUID) -> None:
    claimed = await runner.claim_this(job_id)
    assert claimed is not None
    await runner.run(claimed)
