"""Many open event streams cost the database no more than a few."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest

from shared.jobs import NewJob
from tests.security.conftest import Connection, Live
from tools.faults.people import People, Person

PEOPLE = 20
STREAMS_EACH = 10
COUNTED = 4.0
"""Seconds in which statements are counted."""

MOST_STATEMENTS = 200
"""In that time. Shared looks need about 20; what other tests left running uses the same database. If each stream looked
for itself, there would be more than 2,000."""

_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
async def crowd(server: Live, composition, app) -> list[Person]:
    people = []
    for _ in range(PEOPLE):
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            client.headers["X-Forwarded-For"] = f"198.18.77.{len(people) + 1}"
            people.append(await People(client, composition).register())
    return people


@pytest.fixture
async def observer(servers) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.superuser_url)
    yield connection
    await connection.close()


async def follow(connection: Connection, person: Person, job_id: str) -> None:
    authorization = person.headers["Authorization"]
    await connection.say(
        f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode()
    )
    await connection.heard(b"event: job")


async def test_streams_share_their_looks_at_the_database(
    server: Live, crowd: list[Person], composition, observer
) -> None:
    jobs = []
    for person in crowd:
        async with composition.database().transaction():
            jobs.append(await _waiting_job(composition, person))
    async with AsyncExitStack() as stack:
        for person, job_id in zip(crowd, jobs, strict=True):
            for _ in range(STREAMS_EACH):
                connection = await stack.enter_async_context(server.connection())
                await follow(connection, person, job_id)
        await asyncio.sleep(1.5)  # PostgreSQL tells what it counted once a second
        before = await observer.fetchval(_COMMITS)
        await asyncio.sleep(COUNTED)
        counted = await observer.fetchval(_COMMITS) - before
    assert counted <= MOST_STATEMENTS


async def _waiting_job(composition, person: Person) -> str:
    (job_id,) = await composition.jobs.store().add(
        [NewJob("tests.waits", "nobody-serves-this", {}, owner_id=person.id)]
    )
    return str(job_id)
