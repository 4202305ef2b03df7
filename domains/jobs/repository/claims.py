"""Which job a worker takes next: by turn alone, or with regard to what runs (`turns.py` assigns the turns)."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Interval,
    Select,
    Text,
    and_,
    any_,
    case,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate
from sqlmodel import col

from domains.jobs.models import Job, JobState
from domains.jobs.repository.conditions import claimable, in_state, now, queued
from domains.jobs.repository.turns import participant
from domains.jobs.schemas import ClaimedJob
from shared.db.models import columns
from shared.db.query import param

LOOK_AHEAD = 256
"""Jobs among which a fair claim chooses: more than may share a turn because they were accepted at the same moment."""

CONTENDERS = 32
"""Of these the first that no other worker claims at this moment is taken."""

lease_time = param("lease", Interval())
_taken: Any = aliased(Job, name="taken")
without_waiting_for_the_disk: Any = (
    select(func.set_config("synchronous_commit", "off", literal_column("true"))).scalar_subquery() == "off"
)
"""Always true. Its effect: the statement's commit does not wait for the disk. If PostgreSQL crashes within a second,
the claim is lost, and the job is claimed again under another token."""

_claim = (
    update(Job)
    .where(without_waiting_for_the_disk)
    .values(
        state=literal_column("'running'"),
        attempt=Job.attempt + 1,
        lease_token=param("next_token"),
        lease_expires_at=now + lease_time,
        worker_id=param("worker"),
        started_at=func.coalesce(Job.started_at, now),
        begun_at=now,
        revision=Job.revision + 1,
    )
    .returning(*columns(Job, ClaimedJob))
)
_claimable_here = and_(
    col(Job.queue) == param("queue"),
    claimable,
    or_(col(Job.crashes) == 0, param("alone", Boolean())),
)
_fair_order = (col(Job.turn), col(Job.priority), col(Job.id))
_of_kinds = col(Job.kind) == any_(param("kinds", ARRAY(Text)))


def _first(*more: ColumnElement[bool]) -> Select[Any]:
    """Return the job whose turn it is."""
    return (
        select(col(Job.id))
        .where(_claimable_here, *more)
        .order_by(*_fair_order)
        .limit(literal_column("1"))
        .with_for_update(skip_locked=True)
    )


def _fair(*more: ColumnElement[bool]) -> Select[Any]:
    """Return, of the next `LOOK_AHEAD` jobs, that of the participant of which the fewest run."""
    ahead = (
        select(col(Job.id), *_fair_order[:2], participant().label("whose"))
        .where(_claimable_here, *more)
        .order_by(*_fair_order)
        .limit(literal_column(str(LOOK_AHEAD)))
        .subquery("ahead")
    )
    busy = (
        select(participant(_taken).label("whose"), func.count().label("number"))
        .where(_taken.queue == param("queue"), in_state(JobState.RUNNING, table="taken"))
        .group_by(literal_column("1"))
        .subquery("busy")
    )
    just_served = case((ahead.c.whose == param("just_served", Text()), 1), else_=0)
    order = (func.coalesce(busy.c.number, 0) + just_served, ahead.c.turn, ahead.c.priority, ahead.c.id)
    first = (
        select(ahead.c.id, func.row_number().over(order_by=order).label("place"))
        .outerjoin_from(ahead, busy, busy.c.whose == ahead.c.whose)
        .order_by(literal_column("place"))
        .limit(literal_column(str(CONTENDERS)))
        .subquery("first")
    )
    return (
        select(col(Job.id))
        .join(first, first.c.id == Job.id)
        # Once more: a job that another worker claimed while we waited for its lock stays where it is.
        .where(queued)
        .order_by(first.c.place)
        .limit(literal_column("1"))
        .with_for_update(of=Job, skip_locked=True)
    )


def _claiming(chosen: Select[Any]) -> ReturningUpdate[Any]:
    return _claim.where(col(Job.id) == chosen.scalar_subquery())


claim_next = _claiming(_first())
claim_fairly = _claiming(_fair())
claim_next_of_kinds = _claiming(_first(_of_kinds))
claim_fairly_of_kinds = _claiming(_fair(_of_kinds))
