"""Jobs as workers hold them. Every write is fenced by the lease token: no row means that the lease is lost."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    Integer,
    Interval,
    case,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import col

from domains.jobs.models import Attempt, AttemptOutcome, Job, JobState
from domains.jobs.repository.claims import (
    claim_fairly,
    claim_fairly_of_kinds,
    claim_next,
    claim_next_of_kinds,
    lease_time,
    without_waiting_for_the_disk,
)
from domains.jobs.repository.conditions import ended_attempt, holds_lease, now
from domains.jobs.schemas import ClaimedJob, LeaseRow, PostponedRow, ProgressValues, SuccessionRow
from shared.db.query import param, query
from shared.db.repository import Repository

_progress: dict[str, Any] = {
    "progress_current": param("steps"),
    "progress_total": param("steps_in_all"),
    "progress_message": param("doing"),
}
_released = {"lease_token": None, "lease_expires_at": None, "revision": Job.revision + 1}
_erased = col(Job.owner_id).is_(None) & col(Job.cancel_requested_at).is_not(None)
"""The owner was erased meanwhile (`JobRepository.purge_owner`), and so must be what the job tells of them."""

finish_if_held = (
    update(Job)
    .where(holds_lease)
    .values(
        state=param("outcome", Job.__table__.c.state.type),  # type: ignore[attr-defined]
        result=case((_erased, null()), else_=param("answer", JSONB(none_as_null=True))),
        error=param("problem", JSONB(none_as_null=True)),
        **_progress,
        finished_at=now,
        **_released,
    )
    .returning(col(Job.id))
)
_finished = finish_if_held.cte("finished")
_claimed = claim_next.cte("claimed")
_uncounted_attempts = param("uncounted_attempts", Integer())
# A wish to cancel that came too late for this attempt would otherwise be forgotten.
_cancel_requested = col(Job.cancel_requested_at).is_not(None)
_postponed = (
    update(Job)
    .where(holds_lease)
    .values(
        state=case((_cancel_requested, literal_column("'cancelled'")), else_=literal_column("'retrying'")),
        finished_at=case((_cancel_requested, now), else_=None),
        run_at=now + param("delay", Interval()),
        attempt=Job.attempt - _uncounted_attempts,
        error=param("problem", JSONB(none_as_null=True)),
        published_at=None,
        **_released,
    )
    .returning(
        col(Job.id), col(Job.state), (col(Job.attempt) + _uncounted_attempts).label("attempt"), *ended_attempt
    )
    .cte("postponed")
)
_recorded = (
    insert(Attempt)
    .from_select(
        ["job_id", "attempt", "worker_id", "started_at", "error", "outcome"],
        select(
            *(_postponed.c[name] for name in ("id", "attempt", "worker_id", "started_at", "error")),
            param("attempt_outcome", Attempt.__table__.c.outcome.type),  # type: ignore[attr-defined]
        ),
    )
    .cte("noted")
)


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
        claim: dict[str, Any] = {"next_token": token, "worker": worker, "lease": lease, "alone": alone}
        try:
            if kinds is None and fairly:
                return await self._claim_fairly(queue, just_served, **claim)
            if kinds is None:
                return await self._claim_next(queue, **claim)
            if fairly:
                return await self._claim_fairly_of_kinds(queue, list(kinds), just_served, **claim)
            return await self._claim_next_of_kinds(queue, list(kinds), **claim)
        except asyncpg.UniqueViolationError:
            return None  # another worker took a job with the same concurrency key in this moment

    @query(claim_next)
    async def _claim_next(
        self, queue: str, *, next_token: UUID, worker: str, lease: timedelta, alone: bool
    ) -> ClaimedJob | None: ...

    @query(claim_fairly)
    async def _claim_fairly(
        self,
        queue: str,
        just_served: str | None,
        *,
        next_token: UUID,
        worker: str,
        lease: timedelta,
        alone: bool,
    ) -> ClaimedJob | None: ...

    @query(claim_next_of_kinds)
    async def _claim_next_of_kinds(
        self,
        queue: str,
        kinds: list[str],
        *,
        next_token: UUID,
        worker: str,
        lease: timedelta,
        alone: bool,
    ) -> ClaimedJob | None: ...

    @query(claim_fairly_of_kinds)
    async def _claim_fairly_of_kinds(
        self,
        queue: str,
        kinds: list[str],
        just_served: str | None,
        *,
        next_token: UUID,
        worker: str,
        lease: timedelta,
        alone: bool,
    ) -> ClaimedJob | None: ...

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
        return await self._beat(job_id, token, lease, int(moved), *progress)

    @query(
        update(Job)
        .where(holds_lease, without_waiting_for_the_disk)
        .values(
            lease_expires_at=now + lease_time,
            **_progress,
            revision=Job.revision + param("moved", Integer()),
        )
        .returning(col(Job.cancel_requested_at))
    )
    async def _beat(
        self,
        job_id: UUID,
        token: UUID,
        lease: timedelta,
        moved: int,
        steps: int,
        steps_in_all: int | None,
        doing: str | None,
    ) -> LeaseRow | None: ...

    @query(select(col(Job.cancel_requested_at)).where(holds_lease))
    async def look(self, job_id: UUID, token: UUID) -> LeaseRow | None:
        """Read whether cancellation was requested, and change nothing; None: the lease is lost."""

    @query(select(col(Job.id)).where(holds_lease).with_for_update())
    async def confirm(self, job_id: UUID, token: UUID) -> bool:
        """Lock the row and tell whether the lease holds, in the open transaction."""

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
        return await self._finish(job_id, token, outcome, result, error, *progress)

    @query(finish_if_held)
    async def _finish(
        self,
        job_id: UUID,
        token: UUID,
        outcome: JobState,
        answer: dict[str, Any] | None,
        problem: dict[str, Any] | None,
        steps: int,
        steps_in_all: int | None,
        doing: str | None,
    ) -> bool: ...

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
        claim: dict[str, Any] = {"next_token": next_token, "worker": worker, "lease": lease, "queue": queue}
        return await self._finish_and_claim(job_id, token, *progress, **claim)

    @query(
        select(
            select(_finished.c.id).scalar_subquery().label("finished_id"),
            select(func.to_jsonb(literal_column("claimed"), type_=JSONB))
            .select_from(_claimed)
            .scalar_subquery()
            .label("claimed"),
        ),
        changes=True,
    )
    async def _finish_and_claim(
        self,
        job_id: UUID,
        token: UUID,
        steps: int,
        steps_in_all: int | None,
        doing: str | None,
        *,
        next_token: UUID,
        worker: str,
        lease: timedelta,
        queue: str,
        outcome: JobState = JobState.SUCCEEDED,
        answer: dict[str, Any] | None = None,
        problem: dict[str, Any] | None = None,
        alone: bool = True,
    ) -> SuccessionRow: ...

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
        uncounted_attempts = int(outcome is not AttemptOutcome.FAILED)
        found = await self._postpone(job_id, token, delay, outcome, uncounted_attempts, error)
        return None if found is None else found.state

    @query(select(_postponed.c.state).add_cte(_recorded), changes=True)
    async def _postpone(
        self,
        job_id: UUID,
        token: UUID,
        delay: timedelta,
        attempt_outcome: AttemptOutcome,
        uncounted_attempts: int,
        problem: dict[str, Any] | None,
    ) -> PostponedRow | None: ...
