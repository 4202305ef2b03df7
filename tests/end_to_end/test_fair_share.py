"""Real workers: while one account's files run into their limits, the next account's file is next."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tools.faults.bombs import endless_document

BOMBS = 12
PHOTO = Path(__file__).parents[1] / "data/astronaut.jpg"
SETTINGS = {
    "TULOU_FILES_SANDBOX_CPU_SECONDS": "1",
    "TULOU_WORKER_CONCURRENCY": "2",
    # As with files that take longer than this: each wake-up is good for one job.
    "TULOU_JOBS_DRAIN_SECONDS": "0",
}


async def upload(client, person, name: str, content: bytes) -> None:
    files = {"file": (name, content, "application/octet-stream")}
    assert (await client.post("/v1/files", files=files, headers=person.headers)).status_code == 201


async def jobs_of(client, person) -> list[dict[str, Any]]:
    answer = await client.get("/v1/jobs?kind=files.process&limit=100", headers=person.headers)
    jobs: list[dict[str, Any]] = answer.json()["data"]
    return jobs


async def until_started(client, person) -> dict[str, Any]:
    """Wait until the latest job of a person has been picked up."""
    async with asyncio.timeout(60):
        while (job := (await jobs_of(client, person))[0])["started_at"] is None:
            await asyncio.sleep(0.1)
    return job


@pytest.fixture
async def crowd(client, user, programs) -> AsyncIterator[None]:
    """Two busy processes, and a queue of files that each take all the processor time that they may."""
    worker = programs("worker", "--queue", "files", **SETTINGS)
    worker.wait_for("ready.")
    for number in range(BOMBS):
        await upload(client, user, "endless.pdf", endless_document(number))
    async with asyncio.timeout(30):
        while sum(job["status"] == "running" for job in await jobs_of(client, user)) < 2:
            await asyncio.sleep(0.05)
    yield
    for job in await jobs_of(client, user):
        await client.post(f"/v1/jobs/{job['id']}/cancel", headers=user.headers)


async def test_a_file_is_picked_up_before_those_that_another_account_queued(
    client, user, other, crowd: None
) -> None:
    await upload(client, other, "astronaut.jpg", PHOTO.read_bytes())
    job = await until_started(client, other)
    came, began = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    starts = [
        datetime.fromisoformat(each["started_at"])
        for each in await jobs_of(client, user)
        if each["started_at"]
    ]
    # One may have been claimed while this file was being accepted.
    assert len([start for start in starts if came < start < began]) <= 1
