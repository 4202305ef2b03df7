"""Everything works behind PgBouncer in transaction mode, where each transaction may have another connection.

Needs the program `pgbouncer` (in Debian the package of that name), which no wheel brings; PGBOUNCER may name it.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from bootstrap.migrations.runner import migrate
from tests.installations import Installation, isolated_settings, running
from tests.programs import free_port
from tests.scaling.pooler import FIRST_THAT_PREPARES, PROGRAM, PgBouncer, version

pytestmark = pytest.mark.skipif(
    PROGRAM is None,
    reason="PgBouncer is NOT TESTED: no pgbouncer here (apt install pgbouncer, or set PGBOUNCER)",
)
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tulou-pooler-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
async def pooled(settings, servers, folder: Path) -> AsyncIterator:
    """Settings of an installation whose application comes through PgBouncer, and whose owner comes directly."""
    own = await isolated_settings(settings, servers.superuser_url, folder / "data")
    await asyncio.to_thread(migrate, own)
    pooler = PgBouncer(folder / "pgbouncer", own.database_url.get_secret_value())
    await asyncio.to_thread(pooler.start)
    prepared = "on" if version() >= FIRST_THAT_PREPARES else "off"
    yield own.model_copy(update={"database_url": SecretStr(pooler.url), "database_prepared": prepared})
    await asyncio.to_thread(pooler.stop)


async def live(installation: Installation) -> None:
    """Do what a person does: each step reads and writes, in several transactions."""
    person = await installation.people.register()
    for _ in range(3):
        assert (await installation.client.get("/v1/users/me", headers=person.headers)).status_code == 200
    picture = (DATA / "astronaut.jpg", "image/jpeg")
    files = {"file": (picture[0].name, await asyncio.to_thread(picture[0].read_bytes), picture[1])}
    made = await installation.client.post("/v1/files", files=files, headers=person.headers)
    assert made.status_code == 201, made.text
    file_id = made.json()["id"]
    changed = await installation.client.patch(
        f"/v1/files/{file_id}", json={"tags": ["a"]}, headers=person.headers
    )
    assert changed.status_code == 200, changed.text
    listed = await installation.client.get("/v1/files?tag=a&include_total=true", headers=person.headers)
    assert [file["id"] for file in listed.json()["data"]] == [file_id]
    assert (
        await installation.client.delete(f"/v1/files/{file_id}", headers=person.headers)
    ).status_code == 204
    refreshed = await installation.client.post(
        "/v1/auth/token", data={"grant_type": "refresh_token", "refresh_token": person.refresh_token}
    )
    assert refreshed.status_code == 200, refreshed.text


async def test_many_people_at_once_get_what_they_ask_for(pooled) -> None:
    async with running(pooled.model_copy(update={"rate_limit": 0})) as installation:
        for _ in range(3):
            # As many as the limit of registrations from one network lets in.
            await asyncio.gather(*(live(installation) for _ in range(5)))
            installation.client.headers["X-Forwarded-For"] = f"198.19.{free_port() % 250}.7"
        await installation.work_off()
        ready = await installation.client.get("/health/ready")
        assert ready.json()["checks"]["database"] == "ok"


async def test_api_relay_and_workers_do_their_work(pooled, programs, servers) -> None:
    port = free_port()
    environment = {
        "DATABASE_URL": pooled.database_url.get_secret_value(),
        "TULOU_DATABASE_OWNER_URL": pooled.database_owner_url.get_secret_value(),
        "TULOU_DATABASE_PREPARED": pooled.database_prepared,
        "TULOU_DATA_DIR": str(pooled.data_dir),
        "TULOU_PORT": str(port),
        "TULOU_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "REDIS_URL": servers.environment["REDIS_URL"].removesuffix("/0") + "/7",
    }
    started = [programs("worker", "-q", "default", "-q", "mail", "-q", "files", **environment)]
    started += [programs("relay", **environment), programs("serve", **environment)]
    base = f"http://127.0.0.1:{port}"
    await asyncio.to_thread(started[-1].wait_until_it_answers, f"{base}/health/ready")
    async with httpx.AsyncClient(base_url=base, timeout=30) as client:
        installation = Installation(pooled, None, client)
        await asyncio.gather(*(live(installation) for _ in range(4)))
    direct = await asyncpg.connect(pooled.database_owner_url.get_secret_value())
    async with asyncio.timeout(60):
        while await direct.fetchval("SELECT count(*) FROM jobs.jobs WHERE finished_at IS NULL"):
            await asyncio.sleep(0.1)
    assert await direct.fetch("SELECT kind, error FROM jobs.jobs WHERE state <> 'succeeded'") == []
    assert (
        await direct.fetch("SELECT outcome FROM jobs.attempts WHERE outcome IN ('failed', 'crashed')") == []
    )
    await direct.close()
    for program in started:
        await asyncio.to_thread(program.stop)
