"""What people and deployments do: cancel at a bad moment, run two versions side by side."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import httpx

from tools.faults.client import Client
from tools.faults.harness import Harness
from tools.faults.oracle import Row, judge
from tools.faults.people import People, Person
from tools.faults.register import fault


@fault(
    17, "Two versions at once: new kinds and payloads, an old worker", expected="the old worker fails no job"
)
async def versions_meet(harness: Harness) -> Row:
    row = Row()
    count = harness.count(100, least=30)
    kinds = ("faults.effect", "faults.newer", "faults.changed")
    async with harness.system(workers=0, FAULTS_GENERATION="new") as system, Client(system) as client:
        old = system.new_worker(FAULTS_GENERATION="old", FAULTS_UNKNOWN_PAUSE="1")
        new = system.new_worker()
        await system.until_ready()
        new.signal(19)  # so that the old one is sure to see each kind first
        await client.load(count, per_second=40, order=lambda number: {"kind": kinds[number % len(kinds)]})
        await asyncio.sleep(2)
        new.signal(18)
        await judge(harness, row, client.accepted)
        attempts = await harness.fetch("SELECT outcome, count(*) FROM jobs.attempts GROUP BY outcome")
        row.expect(old.code is None and len(old.family()) > 0, "the old worker still runs")
    outcomes = {attempt["outcome"]: attempt["count"] for attempt in attempts}
    row.expect(set(outcomes) == {"snoozed"}, f"attempts that ended early: {outcomes}")
    return row


@fault(22, "A cancel for each of 500 jobs at a random moment", expected="cancelled or succeeded, never both")
async def people_change_their_minds(harness: Harness) -> Row:
    row = Row()
    count = harness.count(500, least=60)
    async with harness.system() as system, Client(system) as client:
        person = await People(client.http, None).register()
        answers = await _accept_and_cancel(harness, client, person, count)
        found = await judge(harness, row, client.accepted, may_fail=True, drain_seconds=120)
    states = {job.id: job.state for job in found}
    row.expect(
        set(states.values()) <= {"cancelled", "succeeded"}, f"at the end {dict(Counter(states.values()))}"
    )
    row.expect(
        set(states.values()) >= {"cancelled", "succeeded"},
        f"responses {dict(Counter(a for a, _ in answers.values()))}",
    )
    untrue = [
        job_id
        for job_id, (status, said) in answers.items()
        if said == "cancelled" and states[job_id] != "cancelled"
    ]
    row.expect(not untrue, f"{len(untrue)} jobs reported as cancelled ended otherwise")
    unfounded = [job_id for job_id, (status, _) in answers.items() if status not in {200, 202, 409}]
    row.expect(not unfounded, f"{len(unfounded)} cancel requests with another response")
    return row


async def _accept_and_cancel(
    harness: Harness, client: Client, person: Person, count: int
) -> dict[UUID, tuple[int, str]]:
    """Return the answer to each cancel: its status, and the job's status that it shows."""
    answers: dict[UUID, tuple[int, str]] = {}

    async def one(number: int) -> None:
        await asyncio.sleep(number / 25)
        seconds = 5 if number % 10 == 0 else harness.chance(0, 0.3)
        job_id = await client.post(owner_id=str(person.id), work={"seconds": seconds})
        assert job_id is not None
        await asyncio.sleep(harness.chance(0, 0.4) if number % 10 else harness.chance(0, 3))
        answer = await client.http.post(f"/v1/jobs/{job_id}/cancel", headers=person.headers)
        answers[job_id] = (answer.status_code, _status(answer))

    await asyncio.gather(*(one(number) for number in range(count)))
    return answers


def _status(answer: httpx.Response) -> str:
    body: dict[str, Any] = answer.json()
    return str(body.get("status", ""))
