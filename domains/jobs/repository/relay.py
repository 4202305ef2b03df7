"""What the relay does, several rows in one statement. Any number of relays may run: SKIP LOCKED keeps them apart."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Integer,
    Interval,
    Uuid,
    any_,
    bindparam,
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
from domains.jobs.repository.fair_share import fair_share_columns, with_fair_share_turns
from domains.jobs.schemas import FireRow, Lateness, LostRow, WakeUpRow
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement
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
_exhausted = Job.crashes + 1 >= bindparam("max_crashes", type_=Integer())
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
        error=case((_exhausted, bindparam("evidence", type_=JSONB(none_as_null=True))), else_=Job.error),
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
_RECOVER = Statement(
    select(*(_recovered.c[name] for name in LostRow.model_fields)).add_cte(_recorded),
    LostRow,
)
_due = with_fair_share_turns(
    select(*fair_share_columns())
    .where(waiting, col(Job.run_at) <= now)
    .order_by(col(Job.run_at), col(Job.turn), col(Job.id))
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_PROMOTE_DUE = Statement(
    update(Job)
    .where(col(Job.id) == _due.c.id)
    .values(state=literal_column("'queued'"), turn=_due.c.turn, published_at=None, revision=Job.revision + 1),
    Nothing,
)
_MARK_WAKE_UPS = Statement(
    update(Job)
    .where(
        col(Job.id).in_(
            select(col(Job.id))
            .where(
                queued,
                col(Job.queue) == bindparam("of_queue"),
                col(Job.run_at) <= now,
                or_(
                    col(Job.published_at) < now - bindparam("repeat", type_=Interval()),
                    col(Job.published_at).is_(None)
                    & (col(Job.created_at) < now - bindparam("grace", type_=Interval())),
                ),
            )
            .order_by(col(Job.turn), col(Job.priority), col(Job.id))
            .limit(bindparam("limit", type_=Integer()))
            .with_for_update(skip_locked=True)
        )
    )
    .values(published_at=now)
    .returning(col(Job.id), col(Job.queue), col(Job.traceparent)),
    WakeUpRow,
)
_UNMARK_WAKE_UPS = Statement(
    update(Job)
    .where(col(Job.id) == any_(bindparam("job_ids", type_=ARRAY(Uuid()))), queued)
    .values(published_at=None),
    Nothing,
)
_FIRE = Statement(
    insert(Schedule)
    .values(kind=bindparam("of_kind"), fired_for=bindparam("at"))
    .on_conflict_do_update(
        index_elements=["kind"],
        set_={"fired_for": bindparam("at")},
        where=col(Schedule.fired_for) < bindparam("at"),
    )
    # xmax is zero in a row that was inserted: a schedule that nobody knew before begins with its next fire.
    .returning(literal_column("xmax <> 0").label("fires")),
    FireRow,
)
_LATENESS = Statement(
    select(func.coalesce(func.max(func.extract("epoch", now - col(Job.run_at))), 0).label("seconds")).where(
        queued, col(Job.run_at) <= now
    ),
    Lateness,
)


class RelayRepository(Repository):
    """Rows of `jobs.jobs` that nobody holds."""

    async def recover(self, *, max_crashes: int) -> list[LostRow]:
        """Take back the jobs whose lease is over; fail those that killed their worker too often."""
        return await self.database.fetch_all(
            _RECOVER, max_crashes=max_crashes, evidence=problem_of(WorkerDied(crashes=max_crashes))
        )

    async def promote_due(self) -> int:
        """Queue up to 50,000 scheduled and retrying jobs that are due, the longest due first; return how many."""
        queued = 0
        for _ in range(BATCHES):
            batch = await self.database.execute(_PROMOTE_DUE)
            queued += batch
            if batch < BATCH:
                break
        return queued

    async def mark_wake_ups(
        self, queue: str, *, limit: int, grace: timedelta, repeat: timedelta
    ) -> list[WakeUpRow]:
        """Mark up to `limit` due jobs as woken and return them."""
        return await self.database.fetch_all(
            _MARK_WAKE_UPS, of_queue=queue, limit=limit, grace=grace, repeat=repeat
        )

    async def unmark_wake_ups(self, job_ids: list[UUID]) -> None:
        """Unmark jobs whose wake-up could not be sent."""
        await self.database.execute(_UNMARK_WAKE_UPS, job_ids=job_ids)

    async def take_fire(self, kind: str, fire_time: datetime) -> bool:
        """Take a recurring job's fire time; False: another relay has it, or the schedule was unknown until now."""
        row = await self.database.fetch_one(_FIRE, of_kind=kind, at=fire_time)
        return row is not None and row.fires

    async def lateness(self) -> float:
        """Return how many seconds the oldest due job has waited."""
        row = await self.database.fetch_one(_LATENESS)
        return row.seconds if row else 0.0
