"""Fair share: the turn that a queued job gets. A queue serves the lowest turns first.

Start-time fair queueing (Goyal, Vin and Cheng 1996) with jobs of equal length. An owner is one participant; jobs
without an owner take part by their kind. A turn is a virtual start time: each queued job is one turn behind the last
one of its participant, and none is ahead of the turn that the queue serves at present.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, Text, case, cast, func, literal_column, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from domains.jobs.models import Job, JobState
from domains.jobs.repository.conditions import in_state

_other: Any = aliased(Job, name="other")
_queued = in_state(JobState.QUEUED, table="other")


def participant(job: Any = Job) -> ColumnElement[str]:
    """Return the key under which a job takes part: its owner, or its kind where it has none."""
    return func.coalesce(cast(job.owner_id, Text), job.kind)


def fair_share_turn(*, queue: Any, owner: Any, kind: Any, priority: Any) -> ColumnElement[int]:
    """Return the turn of a job that becomes queued now: parameters or columns tell whose it is.

    A job of a lower priority number goes ahead of its participant's other jobs, never ahead of another participant's.
    """
    return func.greatest(_turn_after_last(queue, owner, kind, priority), _current_turn(queue))


def with_fair_share_turns(chosen: Select[Any]) -> Any:
    """Return the ids of `chosen` rows of `Job`, each with the `turn` that it gets when all become queued at once.

    `chosen` selects `fair_share_columns()`, and locks the rows. An owner's requeued jobs wait behind those that are
    queued. Jobs without an owner keep their order, so that mails which waited out an outage go by age.
    """
    rows = chosen.subquery("chosen")
    whose = func.coalesce(cast(rows.c.owner_id, Text), rows.c.kind)
    place = func.row_number().over(
        partition_by=[rows.c.queue, whose], order_by=[rows.c.priority, rows.c.turn, rows.c.id]
    )
    own = _turn_after_last(rows.c.queue, rows.c.owner_id, rows.c.kind, rows.c.priority)
    present = _current_turn(rows.c.queue)
    turn = case(
        (rows.c.owner_id.is_(None), func.greatest(present, func.least(rows.c.turn, own))),
        else_=func.greatest(present, own) + place - 1,
    )
    return select(rows.c.id, turn.label("turn")).subquery("placed")


def fair_share_columns() -> tuple[Any, ...]:
    """Return what `with_fair_share_turns` needs to know of a job."""
    return (col(Job.id), col(Job.queue), col(Job.owner_id), col(Job.kind), col(Job.priority), col(Job.turn))


def _turn_after_last(queue: Any, owner: Any, kind: Any, priority: Any) -> ColumnElement[int]:
    """Return the turn behind the last queued job of a participant; 0 if there is none."""
    owners = _last_turn(queue, priority, _other.owner_id == owner)
    kinds = _last_turn(queue, priority, _other.owner_id.is_(None), owner.is_(None), _other.kind == kind)
    return func.coalesce(owners, kinds, -1) + 1


def _current_turn(queue: Any) -> ColumnElement[int]:
    """Return the turn that a queue serves at present; 0 if it is empty."""
    turns = select(_other.turn).where(_other.queue == queue, _queued).order_by(_other.turn)
    return func.coalesce(_first_of(turns), 0)


def _last_turn(queue: Any, priority: Any, *whose: ColumnElement[bool]) -> Any:
    return _first_of(
        select(_other.turn)
        .where(*whose, _other.queue == queue, _queued, _other.priority <= priority)
        .order_by(_other.turn.desc())
    )


def _first_of(turns: Select[Any]) -> Any:
    return turns.limit(literal_column("1")).correlate_except(_other).scalar_subquery()
