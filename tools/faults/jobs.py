"""Jobs that only the faults know. Their effect is a row: it commits with the job's end, and the oracle counts rows."""

import asyncio
import os
import signal
import time

from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, Table, Uuid, bindparam, insert

from shared.db.database import Database
from shared.db.statement import Nothing, Statement
from shared.jobs import JobContext, JobType, NoPayload

_effects = Table(
    "effects", MetaData(), Column("job_id", Uuid), Column("attempt", Integer), Column("pid", Integer), schema="faults"
)  # fmt: skip
_LEAVE_EFFECT = Statement(
    insert(_effects).values(
        job_id=bindparam("of_job"), attempt=bindparam("in_attempt"), pid=bindparam("by_pid")
    ),
    Nothing,
)


class Work(BaseModel):
    """What a job does before its effect. Times in seconds: asleep, with the loop blocked, in the open transaction."""

    seconds: float = 0
    blocked: float = 0
    held: float = 0
    failures: int = 0


EFFECT = JobType("faults.effect", Work)
SEPARATE = JobType("faults.separate", Work)
KILL_OWN_PROCESS = JobType("faults.kill_own_process", Work)
TICK = JobType("faults.tick", cron="* * * * *")
NEWER = JobType("faults.newer", Work)
CHANGED = JobType("faults.changed", Work, version=2)
UNCHANGED = JobType("faults.changed", Work, version=1)


@EFFECT.handler
async def effect(work: Work, context: JobContext) -> None:
    """Work, then leave an effect that commits together with the end."""
    await _work_and_leave_effect(work, context)


@SEPARATE.handler
async def separate(work: Work, context: JobContext) -> None:
    """End by returning: what is promised then is that it runs, not how often."""
    await _work(work, context)
    database = context.provide("database", Database)
    await database.execute(
        _LEAVE_EFFECT, of_job=context.job_id, in_attempt=context.attempt, by_pid=os.getpid()
    )


@KILL_OWN_PROCESS.handler
async def kill_own_process(work: Work, context: JobContext) -> None:
    """Kill the process that runs it."""
    await _work(work, context)
    os.kill(os.getpid(), signal.SIGKILL)


@TICK.handler
async def tick(_payload: NoPayload, context: JobContext) -> None:
    """Leave an effect each minute."""
    await _leave_effect(Work(), context)


@NEWER.handler
async def newer(work: Work, context: JobContext) -> None:
    """A kind that old workers don't know."""
    await _work_and_leave_effect(work, context)


@CHANGED.handler
async def changed(work: Work, context: JobContext) -> None:
    """A kind that old workers know in an older version."""
    await _work_and_leave_effect(work, context)


@UNCHANGED.handler
async def unchanged(work: Work, context: JobContext) -> None:
    """The older version: it must never see a newer payload."""
    os.kill(os.getpid(), signal.SIGKILL)


ALWAYS = (effect, separate, kill_own_process)
OF_GENERATION = {"old": (unchanged,), "new": (newer, changed)}


async def _work_and_leave_effect(work: Work, context: JobContext) -> None:
    await _work(work, context)
    await _leave_effect(work, context)


async def _work(work: Work, context: JobContext) -> None:
    if context.attempt <= work.failures:
        raise RuntimeError("this attempt was meant to fail")
    time.sleep(work.blocked)  # noqa: ASYNC251  # work that doesn't let the loop go on, as some does
    await asyncio.sleep(work.seconds)


async def _leave_effect(work: Work, context: JobContext) -> None:
    database = context.provide("database", Database)
    async with database.transaction():
        await database.execute(
            _LEAVE_EFFECT, of_job=context.job_id, in_attempt=context.attempt, by_pid=os.getpid()
        )
        await asyncio.sleep(work.held)
        await context.finish()
