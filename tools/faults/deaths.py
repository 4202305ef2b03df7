"""Processes that die or fall asleep: workers, their children, relays, the API."""

import asyncio
import os
import signal
import time
from typing import Any

import psutil

from tools.faults.client import Client
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, drain, judge, outcomes
from tools.faults.register import fault

PACE = 40.0


def short_work(harness: Harness) -> dict[str, Any]:
    """Return an order for a job that is killed now before its effect, now between its effect and its commit."""
    return {"work": {"seconds": harness.chance(0, 0.03), "held": harness.chance(0, 0.03)}}


@fault(1, "SIGKILL of a worker every 2.5 to 5 s", expected="lost 0, doubled 0")
async def workers_are_killed(harness: Harness) -> Row:
    row, kills = Row(), 0
    seconds = harness.seconds(75, least=10)
    async with harness.system() as system, Client(system) as client:
        load = asyncio.create_task(
            client.load(int(PACE * seconds), per_second=PACE, order=lambda _: short_work(harness))
        )
        while not load.done():
            await asyncio.wait([load], timeout=harness.chance(2.5, 5))
            await kill_one(harness, system)
            kills += 1
        await load
        await judge(harness, row, client.accepted)
    row.note(f"{kills} kills")
    return row


async def kill_one(harness: Harness, system: System) -> None:
    """Kill a worker, now with its children and now without, and start another in its place."""
    victim = harness.random.choice(system.workers)
    victim.kill(with_children=harness.random.random() < 0.5)
    victim.start()
    await asyncio.sleep(0)


@fault(
    2,
    "SIGKILL of a pool child in its job",
    expected="lost 0, run again within a lease + 5 s; a job that kills its process: 3 crashes, then failed",
)
async def children_are_killed(harness: Harness) -> Row:
    row, killed_at = Row(), {}
    count = harness.count(200, least=40)
    async with harness.system() as system, Client(system) as client:
        load = asyncio.create_task(
            client.load(count, per_second=20, order=lambda _: {"work": {"seconds": harness.chance(0, 0.3)}})
        )
        killers = [
            await client.post(kind="faults.kill_own_process") for _ in range(harness.count(3, least=2))
        ]
        client.accepted = [job_id for job_id in client.accepted if job_id not in killers]
        while not load.done():
            await asyncio.wait([load], timeout=harness.chance(0.5, 1.0))
            pid = _kill_child(harness, system)
            killed_at[pid] = time.time()
        await load
        await judge(harness, row, client.accepted)
        await drain(harness, seconds=3 * (harness.lease + 5), kinds=["faults.kill_own_process"])
        ended = await outcomes(harness, kinds=["faults.kill_own_process"])
    fates = [(job.state, job.crashes) for job in ended]
    row.expect(fates == [("failed", 3)] * len(killers), f"jobs that kill their process: {fates}")
    slowest, crashes = await _reruns(harness, killed_at)
    row.expect(
        slowest < harness.lease + 5,
        f"{len(killed_at)} kills hit {crashes} jobs; run again after {slowest:.1f} s at most",
    )
    return row


def _kill_child(harness: Harness, system: System) -> int:
    victims = [process.pid for worker in system.workers for process in psutil.Process(worker.pid).children()]
    if not victims:
        return 0
    pid = harness.random.choice(victims)
    os.kill(pid, signal.SIGKILL)
    return pid


async def _reruns(harness: Harness, killed_at: dict[int, float]) -> tuple[float, int]:
    """Return the longest time from a kill until the job that it hit ran again, and how many were hit."""
    rows = await harness.fetch(
        "SELECT attempt.worker_id, extract(epoch FROM job.begun_at)::float AS begun_at"
        " FROM jobs.attempts AS attempt JOIN jobs.jobs AS job ON job.id = attempt.job_id"
        " WHERE attempt.outcome = 'crashed' AND job.kind = 'faults.effect' AND job.crashes = 1"
    )
    waits = [
        row["begun_at"] - killed_at[pid] for row in rows if (pid := pid_of(row["worker_id"])) in killed_at
    ]
    return max(waits, default=0.0), len(rows)


def pid_of(worker_id: str, *, parent: bool = False) -> int:
    """Return the process id in what a worker's child, `host:parent/child`, signs its jobs with."""
    parents, _, child = worker_id.rpartition(":")[2].partition("/")
    return int(parents if parent else child)


@fault(
    3,
    "SIGSTOP of a worker for three leases, then SIGCONT",
    expected="another worker finishes the jobs; the stopped worker changes no row",
)
async def a_worker_sleeps(harness: Harness) -> Row:
    row = Row()
    count = harness.count(50, least=16)
    async with harness.system() as system, Client(system) as client:
        sleeper = system.workers[0]

        def order(number: int) -> dict[str, Any]:
            seconds = harness.chance(0.6, 1.2)
            return {"work": {"blocked": seconds} if number % 2 else {"seconds": seconds}}

        await client.load(count, per_second=1000, order=order)
        caught = await _put_to_sleep_with_jobs(harness, sleeper)
        await asyncio.sleep(3 * harness.lease)
        pids = {process.pid for process in sleeper.family()}
        await drain(harness, seconds=60)
        sleeper.signal(signal.SIGCONT)
        await asyncio.sleep(4)
        await judge(harness, row, client.accepted)
        late = await harness.fetch(
            "SELECT 1 FROM faults.effects WHERE pid = ANY($1::int[]) AND job_id = ANY($2::uuid[])",
            list(pids),
            caught,
        )
    row.expect(caught, f"{len(caught)} jobs were held by the stopped worker")
    row.expect(not late, f"the stopped worker left {len(late)} effects")
    return row


async def _put_to_sleep_with_jobs(harness: Harness, sleeper: Any) -> list[Any]:
    """Stop a worker while it has jobs; return their ids."""
    for _ in range(100):
        await asyncio.sleep(harness.chance(0.1, 0.4))
        sleeper.signal(signal.SIGSTOP)
        pids = {process.pid for process in sleeper.family()}
        running = await harness.fetch("SELECT id, worker_id FROM jobs.jobs WHERE state = 'running'")
        held = [row["id"] for row in running if pid_of(row["worker_id"]) in pids]
        if held:
            return held
        sleeper.signal(signal.SIGCONT)
    return []
