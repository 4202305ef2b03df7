"""Jobs whose handlers the tests define."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from bootstrap.container import TulouContainer
from domains.jobs.repository.leases import LeaseRepository
from domains.jobs.service.runner import JobRunner
from domains.jobs.settings import JobsSettings
from shared.errors import Unprocessable
from shared.events import Resource
from shared.jobs import JobContext, JobHandler, JobOptions, JobType, PermanentError, Snooze
from shared.queues import Queue
from tools.faults.people import Person

QUEUE = "tests"
"""Not one of the program's queues: its jobs never end well."""


class Ask(BaseModel):
    """What a test asks of its job."""

    do: str = "succeed"
    number: int = 0


class Unfit(Unprocessable):
    """A fact that no retry changes."""

    code = "tests.unfit"
    detail = "This can't be worked on."


RAN: list[Ask] = []
GATES: dict[int, asyncio.Event] = {}


async def obey(ask: Ask, context: JobContext) -> None:
    """Do what the test asks."""
    RAN.append(ask)
    if ask.do == "succeed":
        await context.finish({"number": ask.number})
    elif ask.do == "step":
        await context.progress(1, 3, "one of three")
        await GATES[ask.number].wait()
        await context.finish({})
    elif ask.do == "wait":
        await asyncio.sleep(30)
    elif ask.do == "stop when asked":
        while not context.cancelled:
            await asyncio.sleep(0.01)
    elif ask.do == "snooze":
        raise Snooze(timedelta(0), "the mail server is away")
    elif ask.do == "give up":
        raise PermanentError("nothing to be done")
    elif ask.do == "find nobody":
        raise ConnectionRefusedError
    elif ask.do == "meet a fact":
        raise Unfit
    elif ask.do == "cancel itself":
        raise asyncio.CancelledError
    elif ask.do == "fail":
        raise RuntimeError("a secret of the program")


def job_type(kind: str = "tests.obey", **limits: Any) -> JobType[Ask]:
    return JobType(kind, Ask, **({"queue": Queue(QUEUE), "max_attempts": 3, "timeout": 20} | limits))


OBEY, HASTY, NEWER = job_type(), job_type("tests.hasty", timeout=0.1), job_type("tests.newer", version=2)


@pytest.fixture(scope="session")
def declared(composition: TulouContainer) -> None:
    composition.registry().add(JobHandler(job, obey) for job in (OBEY, HASTY, NEWER))


Enqueue = Callable[..., Awaitable[UUID]]


@pytest.fixture
def enqueue(app: FastAPI, composition: TulouContainer, declared: None, user: Person) -> Enqueue:
    """Accept a job of the user's."""

    async def accept(
        do: str = "succeed", *, job: JobType[Ask] = OBEY, number: int = 0, **options: Any
    ) -> UUID:
        async with composition.database().transaction():
            return await composition.jobs.outbox().enqueue(
                job, Ask(do=do, number=number), JobOptions(**({"owner_id": user.id} | options))
            )

    return accept


@pytest.fixture
def runner(app: FastAPI, composition: TulouContainer, declared: None) -> JobRunner:
    """A worker that is quick to retry and to notice."""
    return a_runner(composition)


def a_runner(composition: TulouContainer, **settings: float) -> JobRunner:
    quick = {"jobs_retry_base": 0.001, "jobs_heartbeat": 0.5, "jobs_cancel_grace": 0.0, "jobs_lease": 60.0}
    return JobRunner(
        leases=LeaseRepository(composition.database()),
        registry=composition.registry(),
        transaction=composition.database().transaction,
        outbox=composition.jobs.outbox(),
        settings=JobsSettings(**(quick | settings)),
        clock=composition.clock(),
        provide=composition.provide(),
        worker_id="a test",
    )


@pytest.fixture
def resource() -> Resource:
    from shared.ids import new_id

    return Resource(type="file", id=new_id())
