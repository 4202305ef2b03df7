"""Conditions that the statements about jobs share."""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, and_, literal_column, or_
from sqlalchemy import func as sql
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from domains.jobs.models import OVER, UNFINISHED, Job, JobState
from shared.db.query import param


def in_state(*states: JobState, table: str = "jobs.jobs") -> ColumnElement[bool]:
    """Return the condition with its states written out: a parameter could not use the partial indexes."""
    names = ", ".join(f"'{state.value}'" for state in states)
    return literal_column(f"{table}.state IN ({names})", Boolean)


now = sql.now()
"""The database's clock; no other tells when a job is due or a lease is over."""

unfinished = in_state(*UNFINISHED)
over = in_state(*OVER)
queued = in_state(JobState.QUEUED)
waiting = in_state(JobState.SCHEDULED, JobState.RETRYING)
running = in_state(JobState.RUNNING)

_holder = aliased(Job, name="holder")
_not_held = or_(
    col(Job.concurrency_key).is_(None),
    ~select(_holder.id)
    .where(_holder.concurrency_key == Job.concurrency_key, in_state(JobState.RUNNING, table="holder"))
    .exists(),
)
claimable = and_(queued, col(Job.run_at) <= now, _not_held)
"""Queued, due, and no other job runs under its concurrency key."""

holds_lease = and_(col(Job.id) == param("job_id"), col(Job.lease_token) == param("token"), running)
"""The fence: true only for the worker that holds the present lease."""

ended_attempt: tuple[Any, ...] = (col(Job.worker_id), col(Job.begun_at).label("started_at"), col(Job.error))
"""What a row of `jobs.attempts` takes from the job, beside its id and the attempt's number."""
