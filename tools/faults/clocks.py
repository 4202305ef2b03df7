"""Time: workers whose clocks are wrong, a day of a crontab in minutes."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from tools.faults.client import Client
from tools.faults.harness import Harness
from tools.faults.oracle import Row, judge
from tools.faults.register import fault

WRONG = 300
MINUTE = 60
MIDNIGHT = datetime(2027, 3, 1, tzinfo=UTC).timestamp()


@fault(21, "The workers' clocks are 5 minutes off, one fast, one slow", expected="no lease lost early")
async def clocks_are_wrong(harness: Harness) -> Row:
    row = Row()
    count = harness.count(200, least=40)

    def order(number: int) -> dict[str, Any]:
        """Return now a job longer than a lease, now one that fails once, mostly short ones."""
        if number % 10 == 3:
            return {"work": {"seconds": 1.5 * harness.lease}}
        return {"work": {"failures": 1 if number % 10 == 7 else 0}}

    async with harness.system(workers=0) as system, Client(system) as client:
        for offset in (WRONG, -WRONG):
            system.new_worker(FAULTS_CLOCK_OFFSET=str(offset))
        await system.until_ready()
        await client.load(count, per_second=40, order=order)
        await judge(harness, row, client.accepted)
        rows = await harness.fetch(
            "SELECT outcome, extract(epoch FROM job.begun_at - attempt.ended_at)::float AS pause"
            " FROM jobs.attempts AS attempt JOIN jobs.jobs AS job ON job.id = attempt.job_id"
        )
    kinds = Counter(attempt["outcome"] for attempt in rows)
    failing = sum(1 for number in range(count) if number % 10 == 7)
    row.expect(kinds == {"failed": failing}, f"attempts that ended early: {dict(kinds)}")
    shortest = min(attempt["pause"] for attempt in rows)
    row.expect(
        shortest > 0.4, f"{failing} jobs failed once and waited {shortest:.2f} s at least, as they should"
    )
    return row


@fault(23, "Two relays, a day of a crontab compressed", expected="one job per fire")
async def a_day_passes(harness: Harness) -> Row:
    row = Row()
    fires = harness.count(1440, least=60)
    clock_file = harness.folder / "clock"
    settings = {"FAULTS_CLOCK_FILE": str(clock_file), "TULOU_JOBS_RELAY_INTERVAL": "0.05"}
    _write_time(clock_file, MIDNIGHT)
    async with harness.system(api=False, relays=2, workers=1, **settings):
        known = await harness.until_value(
            "SELECT count(*) FROM jobs.schedules WHERE kind = 'faults.tick'", 1, seconds=20
        )
        row.expect(known, "a new schedule waits for its next time")
        wrong = await _let_minutes_pass(harness, clock_file, fires)
        await asyncio.sleep(1)
        await judge(harness, row, [record["id"] for record in await harness.fetch(_TICKS)])
    row.expect(row.accepted == fires, f"{fires} fires, {row.accepted} jobs")
    row.expect(not wrong, f"minutes without exactly one job: {wrong[:5]}")
    return row


_TICKS = "SELECT id FROM jobs.jobs WHERE kind = 'faults.tick'"
_TICKS_DONE = (
    "SELECT count(*), count(*) FILTER (WHERE state = 'succeeded') FROM jobs.jobs WHERE kind = 'faults.tick'"
)


async def _let_minutes_pass(harness: Harness, clock_file: Path, fires: int) -> list[int]:
    """Move the clock on, each time when the job of the minute before is done; return the minutes that went wrong."""
    wrong = []
    connection = await asyncpg.connect(harness.postgres.server.superuser_url)
    for minute in range(1, fires + 1):
        _write_time(clock_file, MIDNIGHT + minute * MINUTE + harness.chance(0, MINUTE - 1))
        limit = time.monotonic() + 10
        while tuple(await connection.fetchrow(_TICKS_DONE)) != (minute, minute):
            if time.monotonic() > limit:
                wrong.append(minute)
                break
            await asyncio.sleep(0.01)
        if len(wrong) > 5:
            break
    await connection.close()
    return wrong


def _write_time(clock_file: Path, moment: float) -> None:
    new = clock_file.with_suffix(".new")
    new.write_text(str(moment))
    new.rename(clock_file)
