"""A program whose database is a standby waits for the promotion, then works without a restart."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.programs import free_port, stop_all, tulou
from tests.secrecy import SECRECY
from tools.dev.postgres import EmbeddedPostgres
from tools.drill.standby import Standby
from tools.faults.people import PASSWORD, People, some_email

RECOVERED_WITHIN = 5.0


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tulou-failover-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def primary(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder / "postgres", port=free_port())
    server.start()
    yield server
    server.destroy()


async def is_well(client: httpx.AsyncClient) -> bool:
    """Tell whether the API is ready and takes writes."""
    body = {"email": some_email(), "password": PASSWORD}
    registered = await client.post("/v1/auth/register", json=body)
    assert registered.status_code in {202, 503}, registered.text
    ready = await client.get("/health/ready")
    return registered.is_success and ready.is_success


async def test_a_standby_is_not_ready_until_it_is_promoted(servers, folder: Path, primary) -> None:
    standby = Standby(folder / "standby", primary)
    standby._port = free_port()
    environment = servers.environment | {
        "DATABASE_URL": primary.url,
        "TULOU_DATABASE_OWNER_URL": primary.owner_url,
    }
    SECRECY.learn_environment(environment)
    migration = tulou("migrate", environment=environment)
    programs = [migration]
    try:
        assert await asyncio.to_thread(migration.process.wait, 60) == 0
        await asyncio.to_thread(standby.start)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        own = {
            "DATABASE_URL": standby.url,
            "TULOU_PORT": str(port),
            "TULOU_PUBLIC_URL": url,
            "TULOU_RATE_LIMIT": "0",
        }
        api = tulou("serve", environment=environment | own)
        programs.append(api)
        await asyncio.to_thread(api.wait_until_it_answers, f"{url}/health/live")
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "read_only")
            body = {"email": some_email(), "password": PASSWORD}
            for _ in range(5):
                answer = await client.post("/v1/auth/register", json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            superuser = await asyncpg.connect(standby.superuser_url)
            assert await superuser.fetchval("SELECT pg_promote(true, 30)")
            await superuser.close()
            until = time.monotonic() + RECOVERED_WITHIN
            while not await is_well(client):
                assert time.monotonic() < until, api.output
                await asyncio.sleep(0.2)
            await People(client, None).register()
        assert "Traceback" not in api.output
    finally:
        stop_all(programs)
        standby.destroy()
