"""Attacks with work: one account keeps every worker busy, and others want theirs done."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tools.faults.attacks.register import Finding, attack
from tools.faults.bombs import endless_document
from tools.faults.harness import Harness
from tools.faults.people import People, Person

ATTACKER, BYSTANDER = "198.18.9.1", "198.18.10."
"""Addresses that clients come from, of which the last number of a bystander is left open."""

PHOTO = Path(__file__).parents[3] / "tests/data/astronaut.jpg"
LONGEST_PICK_UP = 15.0
"""Seconds until another account's file is picked up, however many files wait."""


@attack(
    "turns",
    "One account queues small files that run into their limits, and starts them again when they have failed",
    expected=f"another account's file is picked up within {LONGEST_PICK_UP:.0f} s, by a worker with two children",
)
async def files_run_into_their_limits(harness: Harness) -> Finding:
    finding = Finding()
    settings = {"TULOU_TRUSTED_PROXIES": "127.0.0.0/8", "TULOU_WORKER_CONCURRENCY": "2"}
    async with (
        harness.system(workers=1, queues=("files",), **settings) as system,
        httpx.AsyncClient(base_url=system.url, timeout=60) as client,
    ):
        attacker = await _register(client, ATTACKER)
        bombs = [endless_document(number) for number in range(harness.count(40, least=10))]
        for bomb in bombs:
            await _upload(client, attacker, "endless.pdf", bomb)
        await _until_busy(client, attacker)
        waits = []
        for number in range(harness.count(6, least=3)):
            bystander = await _register(client, f"{BYSTANDER}{number + 1}")
            await _upload(client, bystander, "astronaut.jpg", PHOTO.read_bytes())
            waits.append(await _pick_up(client, bystander))
            finding.note(f"{await _start_again(client, attacker)} failed jobs were retried")
        jobs = await _jobs(client, attacker)
    run = sum(job["started_at"] is not None for job in jobs)
    finding.expect(max(waits) < LONGEST_PICK_UP, f"started after {max(waits):.1f} s at most of {len(waits)}")
    finding.expect(run < len(jobs), f"{run} of the attacker's {len(jobs)} had started by then")
    finding.note(f"{len(bombs[0])} bytes each")
    return finding


async def _register(client: httpx.AsyncClient, address: str) -> Person:
    client.headers["X-Forwarded-For"] = address
    return await People(client, None).register()


async def _upload(client: httpx.AsyncClient, person: Person, name: str, content: bytes) -> None:
    files = {"file": (name, content, "application/octet-stream")}
    answer = await client.post("/v1/files", files=files, headers=person.headers)
    assert answer.status_code == httpx.codes.CREATED, answer.text


async def _jobs(client: httpx.AsyncClient, person: Person) -> list[dict[str, Any]]:
    answer = await client.get("/v1/jobs?kind=files.process&limit=100", headers=person.headers)
    jobs: list[dict[str, Any]] = answer.json()["data"]
    return jobs


async def _until_busy(client: httpx.AsyncClient, person: Person) -> None:
    async with asyncio.timeout(60):
        while sum(job["status"] == "running" for job in await _jobs(client, person)) < 2:
            await asyncio.sleep(0.1)


async def _pick_up(client: httpx.AsyncClient, person: Person) -> float:
    """Return for how many seconds the job of a person's only file waited."""
    async with asyncio.timeout(600):
        while (job := (await _jobs(client, person))[0])["started_at"] is None:
            await asyncio.sleep(0.1)
    began, came = (datetime.fromisoformat(job[name]) for name in ("started_at", "created_at"))
    return (began - came).total_seconds()


async def _start_again(client: httpx.AsyncClient, person: Person) -> int:
    """Start each failed job of a person again; return how many there were."""
    failed = [job["id"] for job in await _jobs(client, person) if job["status"] == "failed"]
    for job_id in failed:
        await client.post(f"/v1/jobs/{job_id}/retry", headers=person.headers)
    return len(failed)
