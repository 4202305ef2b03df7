"""Helpers for tests of jobs that HTTP does not offer."""

import re
from uuid import UUID

from bootstrap.container import TulouContainer
from domains.jobs.schemas import ClaimedJob
from domains.jobs.service.runner import JobRunner
from shared.db.transaction import require_transaction


async def look(composition: TulouContainer, job_id: UUID):
    job = await composition.jobs.rows().find(job_id)
    assert job is not None
    return job


async def run_sql(composition: TulouContainer, statement: str, **values: object) -> None:
    """Run a statement with parameters as `:id`."""
    async with composition.database().transaction():
        connection = await require_transaction().connection()
        for place, name in enumerate(values, start=1):
            statement = re.sub(f"(?<!:):{name}\\b", f"${place}", statement)
        await connection.execute(statement, *values.values())


async def set_apart(runner: JobRunner, job_id: UUID) -> str:
    """Move a job into a queue of its own, where it is the next; return the name of the queue."""
    queue = f"only-{job_id}"
    database = runner.leases.database
    async with database.transaction():
        connection = await require_transaction().connection()
        await connection.execute("UPDATE jobs.jobs SET queue = $1 WHERE id = $2", queue, job_id)
    return queue


async def claim(runner: JobRunner, job_id: UUID) -> ClaimedJob | None:
    """Claim this job and no other; None if it can't be claimed."""
    return await runner.claim_next(await set_apart(runner, job_id))


async def run_once(runner: JobRunner, job_id: UUID) -> None:
    claimed = await claim(runner, job_id)
    assert claimed is not None
    await runner.run(claimed)
