"""What tests of jobs do and look at besides HTTP."""

from uuid import UUID

from sqlalchemy import text

from bootstrap.container import TulouContainer
from domains.jobs.schemas import ClaimedJob
from domains.jobs.service.runner import JobRunner
from shared.db.transaction import current_session


async def look(composition: TulouContainer, job_id: UUID):
    job = await composition.jobs.rows().find(job_id)
    assert job is not None
    return job


async def run_sql(composition: TulouContainer, statement: str, **values: object) -> None:
    async with composition.database().transaction():
        connection = await (await current_session()).connection()
        await connection.execute(text(statement), values)


async def set_apart(runner: JobRunner, job_id: UUID) -> str:
    """Move a job into a queue of its own, where it is the next; return the name of the queue."""
    queue = f"only-{job_id}"
    database = runner._leases.database
    async with database.transaction():
        connection = await (await current_session()).connection()
        await connection.execute(
            text("UPDATE jobs.jobs SET queue = :queue WHERE id = :id"), {"queue": queue, "id": job_id}
        )
    return queue


async def claim(runner: JobRunner, job_id: UUID) -> ClaimedJob | None:
    """Claim this job and no other; None if it can't be claimed."""
    return await runner.claim_next(await set_apart(runner, job_id))


async def run_once(runner: JobRunner, job_id: UUID) -> None:
    claimed = await claim(runner, job_id)
    assert claimed is not None
    await runner.run(claimed)
