"""Jobs as workers hold them. Every write is fenced by the lease token: no row means that the lease is lost."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    Integer,
    Interval,
    bindparam,
    case,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from domains.jobs.models import Attempt, AttemptOutcome, Job, JobState
from domains.jobs.repository.claims import (
    CLAIM_FAIRLY,
    CLAIM_FAIRLY_OF_KINDS,
    CLAIM_NEXT,
    CLAIM_NEXT_OF_KINDS,
    claim_next,
    lease_time,
    without_waiting_for_the_disk,
)
from domains.jobs.repository.conditions import ended_attempt, holds_lease, now
from domains.jobs.schemas import ClaimedJob, JobId, LeaseRow, PostponedRow, ProgressValues, SuccessionRow
from shared.db.repository import Repository
from shared.db.statement import Statement

_progress: dict[str, Any] = {
    "progress_current": bindparam("steps"),
    "progress_total": bindparam("steps_in_all"),
    "progress_message": bindparam("doing"),
}
_LOOK = Statement(select(col(Job.cancel_requested_at)).where(holds_lease), LeaseRow)
_BEAT = Statement(
    update(Job)
    .where(holds_lease, without_waiting_for_the_disk)
    .values(
        lease_expires_at=now + lease_time,
        **_progress,
        revision=Job.revision + bindparam("moved", type_=Integer()),
    )
    .returning(col(Job.cancel_requested_at)),
    LeaseRow,
)
_CONFIRM = Statement(select(col(Job.id)).where(holds_lease).with_for_update(), JobId)
_released = {"lease_token": None, "lease_expires_at": None, "revision": Job.revision + 1}
_erased = col(Job.owner_id).is_(None) & col(Job.cancel_requested_at).is_not(None)
"""The owner was erased meanwhile (`JobRepository.purge_owner`), and so must be what the job tells of them."""

_finish = (
    update(Job)
    .where(holds_lease)
    .values(
        state=bindparam("outcome", type_=Job.__table__.c.state.type),  # type: ignore[attr-defined]
        result=case((_erased, null()), else_=bindparam("answer", type_=JSONB(none_as_null=True))),
        error=bindparam("problem", type_=JSONB(none_as_null=True)),
        **_progress,
        finished_at=now,
        **_released,
    )
    .returning(col(Job.id))
)
_FINISH = Statement(_finish, JobId)
_finished = _finish.cte("finished")
_claimed = claim_next.cte("claimed")
_FINISH_AND_CLAIM = Statement(
    select(
        select(_finished.c.id).scalar_subquery().label("finished_id"),
        select(func.to_jsonb(literal_column("claimed"), type_=JSONB))
        .select_from(_claimed)
        .scalar_subquery()
        .label("claimed"),
    ),
    SuccessionRow,
)
_unburnt = bindparam("unburnt", type_=Integer())
# A wish to cancel that came too late for this attempt would otherwise be forgotten.
_cancel_requested = col(Job.cancel_requested_at).is_not(None)
_postponed = (
    update(Job)
    .where(holds_lease)
    .values(
        state=case((_cancel_requested, literal_column("'cancelled'")), else_=literal_column("'retrying'")),
        finished_at=case((_cancel_requested, now), else_=None),
        run_at=now + bindparam("delay", type_=Interval()),
        attempt=Job.attempt - _unburnt,
        error=bindparam("problem", type_=JSONB(none_as_null=True)),
        published_at=None,
        **_released,
    )
    .returning(col(Job.id), col(Job.state), (col(Job.attempt) + _unburnt).label("attempt"), *ended_attempt)
    .cte("postponed")
)
_recorded = (
    insert(Attempt)
    .from_select(
        ["job_id", "attempt", "worker_id", "started_at", "error", "outcome"],
        select(
            *(_postponed.c[name] for name in ("id", "attempt", "worker_id", "started_at", "error")),
            bindparam("attempt_outcome", type_=Attempt.__table__.c.outcome.type),  # type: ignore[attr-defined]
        ),
    )
    .cte("noted")
)
_POSTPONE = Statement(select(_postponed.c.state).add_cte(_recorded), PostponedRow, changes=True)


class LeaseRepository(Repository):
    """What a worker does with rows of `jobs.jobs`. Each method is one round trip."""

    async def claim(
        self,
        queue: str,
        *,
        token: UUID,
        worker: str,
        lease: timedelta,
        alone: bool = True,
        kinds: Collection[str] | None = None,
        fairly: bool = False,
        just_served: str | None = None,
    ) -> ClaimedJob | None:
        """Take the due job of a queue whose turn it is, of these kinds; None if there is none to take.

        Jobs that crashed are only taken to be run `alone`. `fairly`: look past jobs of participants that have more
        jobs running than others; that of `just_served` counts as one more.
        """
        given: dict[str, Any] = {
            "from_queue": queue,
            "next_token": token,
            "worker": worker,
            "lease": lease,
            "alone": alone,
        }
        if kinds is not None:
            given["kinds"] = list(kinds)
        if fairly:
            given["just_served"] = just_served
        statements = (
            (CLAIM_NEXT, CLAIM_FAIRLY) if kinds is None else (CLAIM_NEXT_OF_KINDS, CLAIM_FAIRLY_OF_KINDS)
        )
        try:
            return await self.database.fetch_one(statements[fairly], **given)
        except (asyncpg.UniqueViolationError, IntegrityError):
            return None  # another worker took a job with the same concurrency key in this moment

    async def beat(
        self,
        job_id: UUID,
        token: UUID,
        *,
        lease: timedelta,
        progress: ProgressValues,
        moved: bool,
    ) -> LeaseRow | None:
        """Renew the lease and write the progress; None: the lease is lost."""
        return await self.database.fetch_one(
            _BEAT,
            job_id=job_id,
            token=token,
            lease=lease,
            moved=int(moved),
            **_progress_values(progress),
        )

    async def look(self, job_id: UUID, token: UUID) -> LeaseRow | None:
        """Read whether cancellation was requested, and change nothing; None: the lease is lost."""
        return await self.database.fetch_one(_LOOK, job_id=job_id, token=token)

    async def confirm(self, job_id: UUID, token: UUID) -> bool:
        """Lock the row and tell whether the lease holds, in the open transaction."""
        return await self.database.fetch_one(_CONFIRM, job_id=job_id, token=token) is not None

    async def finish(
        self,
        job_id: UUID,
        token: UUID,
        outcome: JobState,
        *,
        progress: ProgressValues,
        result: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
    ) -> bool:
        """End the job; False: the lease is lost."""
        row = await self.database.fetch_one(
            _FINISH,
            job_id=job_id,
            token=token,
            outcome=outcome,
            answer=result,
            problem=error,
            **_progress_values(progress),
        )
        return row is not None

    async def finish_and_claim(
        self,
        job_id: UUID,
        token: UUID,
        *,
        progress: ProgressValues,
        next_token: UUID,
        worker: str,
        lease: timedelta,
        queue: str,
    ) -> SuccessionRow:
        """End the job with success and take the next due one of a queue: one round trip and one commit for both.

        A job under the concurrency key of the one that ends is not seen as free yet; `claim` finds it.
        """
        row = await self.database.fetch_one(
            _FINISH_AND_CLAIM,
            job_id=job_id,
            token=token,
            outcome=JobState.SUCCEEDED,
            answer=None,
            problem=None,
            next_token=next_token,
            worker=worker,
            lease=lease,
            from_queue=queue,
            alone=True,
            **_progress_values(progress),
        )
        return row or SuccessionRow(finished_id=None, claimed=None)

    async def postpone(
        self,
        job_id: UUID,
        token: UUID,
        *,
        delay: timedelta,
        outcome: AttemptOutcome,
        error: dict[str, Any] | None,
    ) -> JobState | None:
        """Postpone the job, or end it if it was cancelled; return its new state.

        None: the lease is lost. Only an attempt that failed counts.
        """
        row = await self.database.fetch_one(
            _POSTPONE,
            job_id=job_id,
            token=token,
            delay=delay,
            attempt_outcome=outcome,
            unburnt=int(outcome is not AttemptOutcome.FAILED),
            problem=error,
        )
        return row.state if row is not None else None


def _progress_values(progress: ProgressValues) -> dict[str, Any]:
    steps, in_all, doing = progress
    return {"steps": steps, "steps_in_all": in_all, "doing": doing}
