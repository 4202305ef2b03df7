"""Lists are read from a replica while its lag is below the limit; nothing else is."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from tests.installations import Installation, running
from tools.dev.postgres import EmbeddedPostgres
from tools.drill.standby import Standby
from tools.faults.people import Person

pytestmark = pytest.mark.long

LONG = 60.0
"""Seconds of lag that no test takes: a replica that stands still is used all the time."""


@dataclass
class Pair:
    """A primary and its replica."""

    primary: EmbeddedPostgres
    replica: Standby
    settings: Settings

    @asynccontextmanager
    async def installed(self, *, lag: float) -> AsyncIterator[tuple[Installation, Person]]:
        """Run the API on both, until the replica is in use; with an administrator, whose lists are read there."""
        urls = (SecretStr(self.replica.url),)
        own = self.settings.model_copy(update={"database_replica_urls": urls, "database_replica_lag": lag})
        async with running(own) as installation:
            admin = await installation.people.administrator()
            (replica,) = installation.container.database()._replicas._replicas
            await until(lambda: asyncio.sleep(0, replica.in_use))
            yield installation, admin

    async def on_replica(self, sql: str):
        connection = await asyncpg.connect(self.replica.superuser_url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def stand_still(self) -> None:
        await self.on_replica("SELECT pg_wal_replay_pause()")
        await until(lambda: self.on_replica("SELECT pg_get_wal_replay_pause_state() = 'paused'"))

    async def go_on(self) -> None:
        await self.on_replica("SELECT pg_wal_replay_resume()")


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tulou-replicas-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
async def pair(settings, folder: Path) -> AsyncIterator[Pair]:
    primary = EmbeddedPostgres(folder / "postgres", durable=True)
    replica = Standby(folder / "replica", primary)
    try:
        await asyncio.to_thread(primary.start)
        own = settings.model_copy(
            update={
                "database_url": SecretStr(primary.url),
                "database_owner_url": SecretStr(primary.owner_url),
                "data_dir": folder / "data",
            }
        )
        await asyncio.to_thread(migrate, own)
        await asyncio.to_thread(replica.start)
        yield Pair(primary, replica, own)
    finally:
        await asyncio.to_thread(replica.destroy)
        await asyncio.to_thread(primary.destroy)


async def is_listed(installation: Installation, admin: Person, email: str) -> bool:
    answer = await installation.client.get("/v1/users", params={"email": email}, headers=admin.headers)
    assert answer.status_code == httpx.codes.OK, answer.text
    return bool(answer.json()["data"])


async def test_a_list_comes_from_the_replica_and_everything_else_from_the_primary(pair: Pair) -> None:
    async with pair.installed(lag=LONG) as (installation, admin):
        await until(lambda: is_listed(installation, admin, admin.email))
        await pair.stand_still()
        try:
            person = (
                await installation.people.register()
            )  # signs in and reads itself: all of it on the primary
            assert not await is_listed(installation, admin, person.email)
            other = await installation.client.get(f"/v1/users/{person.id}", headers=admin.headers)
            assert other.json()["email"] == person.email
        finally:
            await pair.go_on()
        await until(lambda: is_listed(installation, admin, person.email))


async def test_a_replica_that_is_too_far_behind_is_left_alone_until_it_has_caught_up(pair: Pair) -> None:
    async with pair.installed(lag=0.5) as (installation, admin):
        await pair.stand_still()
        person = await installation.people.register()
        await until(lambda: is_listed(installation, admin, person.email))
        assert await pair.on_replica("SELECT pg_is_wal_replay_paused()"), "read on the primary, then"
        await pair.go_on()
        (replica,) = installation.container.database()._replicas._replicas
        await until(lambda: asyncio.sleep(0, replica.in_use))


async def test_a_quiet_primary_makes_no_replica_old(pair: Pair) -> None:
    async with pair.installed(lag=0.2) as (installation, _):
        (replica,) = installation.container.database()._replicas._replicas
        await until(lambda: asyncio.sleep(0, replica.in_use))
        first = replica.as_of
        await until(lambda: asyncio.sleep(0, replica.as_of > first + 0.4))
        assert replica.in_use


async def test_a_replica_that_is_away_costs_no_request(pair: Pair) -> None:
    async with pair.installed(lag=LONG) as (installation, admin):
        await until(lambda: is_listed(installation, admin, admin.email))
        await asyncio.to_thread(pair.replica.stop)
        try:
            assert await is_listed(installation, admin, admin.email)
            assert await is_listed(installation, admin, admin.email)
            address = urlsplit(pair.replica.url).netloc.rpartition("@")[2]
            metrics = (await installation.client.get("/metrics")).text
            assert f'tulou_dependency_up{{name="replica {address}"}} 0.0' in metrics
        finally:
            await asyncio.to_thread(pair.replica.start)


async def test_a_primary_in_a_replicas_place_is_never_one(pair: Pair) -> None:
    own = pair.settings.model_copy(update={"database_replica_urls": (SecretStr(pair.primary.url),)})
    async with running(own) as installation:
        admin = await installation.people.administrator()
        (replica,) = installation.container.database()._replicas._replicas
        await until(lambda: asyncio.sleep(0, replica.pool.usage()[1]))
        assert await is_listed(installation, admin, admin.email)
        assert not replica.in_use
