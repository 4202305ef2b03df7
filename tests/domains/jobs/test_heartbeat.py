"""The heartbeat and the end of a job at the same time."""

import asyncio
from datetime import UTC, datetime

from domains.jobs.schemas import ClaimedJob
from domains.jobs.service.running import RunningJob
from domains.jobs.settings import JobsSettings
from shared.ids import new_id


class EndedRow:
    """The row of a job that has just ended: it can be ended, and nobody finds it leased any more."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()

    async def finish(self, *_, **__) -> bool:
        return True

    async def beat(self, *_, **__) -> None:
        self.looked.set()

    look = beat


def a_running_job(composition, rows: EndedRow) -> RunningJob:
    job = ClaimedJob(
        id=new_id(),
        kind="tests.obey",
        payload={},
        payload_version=1,
        attempt=1,
        max_attempts=1,
        crashes=0,
        lease_token=new_id(),
        owner_id=None,
        resource_type=None,
        resource_id=None,
        request_id=None,
        traceparent=None,
        created_at=datetime.now(UTC),
    )
    return RunningJob(
        job,
        leases=rows,
        transaction=composition.database().transaction,
        outbox=composition.jobs.outbox(),
        settings=JobsSettings(jobs_heartbeat=0.5),
        provide=composition.provide(),
    )


async def test_a_job_that_is_just_committing_its_end_is_not_taken_for_lost(app, composition) -> None:
    rows = EndedRow()
    running = a_running_job(composition, rows)

    async def work() -> str:
        async with composition.database().transaction():
            await running.finish()
            await rows.looked.wait()
        return "went on"

    working = asyncio.create_task(work())
    heartbeat = asyncio.create_task(running.keep_lease(working))
    assert await working == "went on"
    heartbeat.cancel()
    assert running.finished
    assert not running.lost


async def test_a_job_whose_row_is_gone_is_stopped(app, composition) -> None:
    running = a_running_job(composition, EndedRow())
    working = asyncio.create_task(asyncio.sleep(30))
    await running.keep_lease(working)
    await asyncio.wait([working])
    assert working.cancelled()
    assert running.lost
