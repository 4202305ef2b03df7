"""The API is killed between commit and response: a client that retries gets the work done once."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

import asyncpg
import httpx
import pytest

from tests.conftest import some_address
from tests.programs import Program, free_port
from tools.faults.people import People

LEASE = 2.0
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE idempotency.keys%'"
)


@pytest.fixture
async def rows(servers) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.superuser_url)
    yield connection
    await connection.close()


async def until(rows: asyncpg.Connection, query: str, *arguments: object) -> None:
    """Wait until a query counts something."""
    async with asyncio.timeout(20):
        while not await rows.fetchval(query, *arguments):
            await asyncio.sleep(0.02)


async def test_an_api_that_dies_between_effect_and_answer_lets_the_retry_do_it_once(
    programs: Callable[..., Program], servers, rows, composition
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "TULOU_PORT": str(port),
        "TULOU_PUBLIC_URL": url,
        "TULOU_IDEMPOTENCY_LEASE": str(LEASE),
    }
    api = programs("serve", **settings)
    api.wait_until_it_answers(f"{url}/health/ready")
    async with httpx.AsyncClient(
        base_url=url, timeout=30, headers={"X-Forwarded-For": some_address()}
    ) as client:
        user = await People(client, composition).register()
        headers = {**user.headers, "Idempotency-Key": secrets.token_hex(8)}
        made, keys = [], "SELECT count(*) FROM idempotency.keys WHERE owner_id = $1"

        async def change() -> httpx.Response:
            return await client.patch("/v1/users/me", json={"name": "Ada"}, headers=headers)

        async with rows.transaction():
            await rows.execute("SELECT 1 FROM users.users WHERE id = $1 FOR UPDATE", user.id)
            cut_off = asyncio.create_task(change())
            second = await asyncpg.connect(servers.superuser_url)
            await until(second, keys, user.id)
            holding = second.transaction()
            await holding.start()
            await second.execute("SELECT 1 FROM idempotency.keys WHERE owner_id = $1 FOR UPDATE", user.id)
        # Now the name is changed, and only the answer can't be kept yet.
        await until(rows, WAITING)
        api.kill()
        await holding.rollback()
        await second.close()
        with pytest.raises(httpx.TransportError):
            await cut_off
        revision = "SELECT revision FROM users.users WHERE id = $1"
        assert await rows.fetchval(revision, user.id) == 1

        again = programs("serve", **settings)
        again.wait_until_it_answers(f"{url}/health/ready")
        async with asyncio.timeout(30):
            while (answer := await change()).status_code == 409:
                made.append(answer.json()["code"])
                await asyncio.sleep(float(answer.headers["Retry-After"]))
        assert answer.status_code == 200
        assert "Idempotency-Replayed" not in answer.headers
        assert (await change()).headers["Idempotency-Replayed"] == "true"
        assert await rows.fetchval(revision, user.id) == 2
        assert set(made) <= {"idempotency.in_progress"}
        again.stop()
