"""SQL about restored jobs: their workers and wake-ups no longer exist."""

from sqlalchemy import delete, select, update
from sqlmodel import col

from domains.jobs.models import Job, JobState, Worker
from domains.jobs.repository.turns import fair_share_columns, with_fair_share_turns
from shared.db.query import query
from shared.db.repository import Repository

_interrupted = with_fair_share_turns(
    select(*fair_share_columns()).where(col(Job.state) == JobState.RUNNING).with_for_update()
)


class RecoveryRepository(Repository):
    """Rows of jobs and workers after a restore."""

    @query(
        update(Job)
        .where(col(Job.id) == _interrupted.c.id)
        .values(
            turn=_interrupted.c.turn,
            state=JobState.QUEUED,
            attempt=Job.attempt - 1,
            lease_token=None,
            lease_expires_at=None,
            worker_id=None,
            published_at=None,
            revision=Job.revision + 1,
        )
    )
    async def take_back(self) -> int:
        """Queue what was running, with no attempt counted; return how many."""

    @query(
        update(Job)
        .where(col(Job.published_at).is_not(None), col(Job.finished_at).is_(None))
        .values(published_at=None)
    )
    async def reset_wake_ups(self) -> None:
        """Let the relay send every wake-up again."""

    @query(delete(Worker))
    async def delete_workers(self) -> None:
        """Delete the rows of all workers."""
