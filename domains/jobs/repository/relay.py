"""What the relay does, several rows in one statement. Any number of relays may run: SKIP LOCKED keeps them apart."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Integer,
    Interval,
    Uuid,
    any_,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlmodel import col

from domains.jobs.errors import WorkerDied
from domains.jobs.models import Attempt, Job, Schedule
from domains.jobs.repository.conditions import ended_attempt, now, queued, running, waiting
from domains.jobs.repository.turns import fair_share_columns, with_fair_share_turns
from domains.jobs.schemas import LostRow, WakeUpRow
from shared.db.query import param, query
from shared.db.repository import Repository
from shared.errors import problem_of

BATCH = 500
BATCHES = 100
"""Batches at a time, so that other duties of the relay don't wait for a long backlog."""


_lost = with_fair_share_turns(
    select(*fair_share_columns())
    .where(running, col(Job.lease_expires_at) < now)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_cancelled = col(Job.cancel_requested_at).is_not(None)
_exhausted = Job.crashes + 1 >= param("max_crashes", Integer())
_recovered = (
    update(Job)
    .where(col(Job.id) == _lost.c.id)
    .values(
        turn=_lost.c.turn,
        state=case(
            (_cancelled, literal_column("'cancelled'")),
            (_exhausted, literal_column("'failed'")),
            else_=literal_column("'queued'"),
        ),
        crashes=Job.crashes + 1,
        attempt=Job.attempt - 1,
        run_at=now,
        error=case((_exhausted, param("evidence", JSONB(none_as_null=True))), else_=Job.error),
        finished_at=case((or_(_cancelled, _exhausted), now), else_=None),
        lease_token=None,
        lease_expires_at=None,
        published_at=None,
        revision=Job.revision + 1,
    )
    .returning(
        col(Job.id),
        col(Job.kind),
        col(Job.state),
        col(Job.crashes),
        col(Job.resource_type),
        col(Job.resource_id),
        (col(Job.attempt) + 1).label("attempt"),
        *ended_attempt,
    )
    .cte("recovered")
)
_recorded = (
    insert(Attempt)
    .from_select(
        ["job_id", "attempt", "outcome", "worker_id", "started_at"],
        select(
            _recovered.c.id,
            _recovered.c.attempt,
            literal_column("'crashed'"),
            _recovered.c.worker_id,
            _recovered.c.started_at,
        ),
    )
    .cte("noted")
)
_due = with_fair_share_turns(
    select(*fair_share_columns())
    .where(waiting, col(Job.run_at) <= now)
    .order_by(col(Job.run_at), col(Job.turn), col(Job.id))
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)


class RelayRepository(Repository):
    """Rows of `jobs.jobs` that no worker holds."""

    async def recover(self, *, max_crashes: int) -> list[LostRow]:
        """Take back the jobs whose lease is over; fail those that killed their worker too often."""
        return await self._recover(max_crashes, problem_of(WorkerDied(crashes=max_crashes)))

    @query(select(*(_recovered.c[name] for name in LostRow.model_fields)).add_cte(_recorded), changes=True)
    async def _recover(self, max_crashes: int, evidence: dict[str, Any]) -> list[LostRow]: ...

    async def promote_due(self) -> int:
        """Queue up to 50,000 scheduled and retrying jobs that are due, the longest due first; return how many."""
        queued = 0
        for _ in range(BATCHES):
            batch = await self._promote_batch()
            queued += batch
            if batch < BATCH:
                break
        return queued

    @query(
        update(Job)
        .where(col(Job.id) == _due.c.id)
        .values(
            state=literal_column("'queued'"), turn=_due.c.turn, published_at=None, revision=Job.revision + 1
        )
    )
    async def _promote_batch(self) -> int: ...

    @query(
        update(Job)
        .where(
            col(Job.id).in_(
                select(col(Job.id))
                .where(
                    queued,
                    col(Job.queue) == param("queue"),
                    col(Job.run_at) <= now,
                    or_(
                        col(Job.published_at) < now - param("repeat", Interval()),
                        col(Job.published_at).is_(None)
                        & (col(Job.created_at) < now - param("grace", Interval())),
                    ),
                )
                .order_by(col(Job.turn), col(Job.priority), col(Job.id))
                .limit(param("limit", Integer()))
                .with_for_update(skip_locked=True)
            )
        )
        .values(published_at=now)
        .returning(col(Job.id), col(Job.queue), col(Job.traceparent))
    )
    async def mark_wake_ups(
        self, queue: str, *, limit: int, grace: timedelta, repeat: timedelta
    ) -> list[WakeUpRow]:
        """Mark up to `limit` due jobs as woken and return them."""

    @query(
        update(Job)
        .where(col(Job.id) == any_(param("job_ids", ARRAY(Uuid()))), queued)
        .values(published_at=None)
    )
    async def unmark_wake_ups(self, job_ids: list[UUID]) -> None:
        """Unmark jobs whose wake-up could not be sent."""

    async def take_fire(self, kind: str, fire_time: datetime) -> bool:
        """Take a recurring job's fire time; False: another relay has it, or the schedule was unknown until now."""
        return await self._take_fire(kind, fire_time) or False

    # xmax is zero in a row that was inserted: a schedule that was unknown before begins with its next fire.
    @query(
        insert(Schedule)
        .values(kind=param("kind"), fired_for=param("fire_time"))
        .on_conflict_do_update(
            index_elements=["kind"],
            set_={"fired_for": param("fire_time")},
            where=col(Schedule.fired_for) < param("fire_time"),
        )
        .returning(literal_column("xmax <> 0", Boolean()).label("fires"))
    )
    async def _take_fire(self, kind: str, fire_time: datetime) -> bool | None: ...

    async def lateness(self) -> float:
        """Return how many seconds the oldest due job has waited."""
        return float(await self._lateness())

    @query(
        select(func.coalesce(func.max(func.extract("epoch", now - col(Job.run_at))), 0)).where(
            queued, col(Job.run_at) <= now
        )
    )
    async def _lateness(self) -> Decimal: ...
