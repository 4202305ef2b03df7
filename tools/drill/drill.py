"""A running system with everything that alerts watch, and a Prometheus that looks at it."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from bootstrap.backup.recording import record
from bootstrap.settings.model import Settings
from shared.queues import QUEUES
from tests.frozen import frozen
from tools.drill.prometheus import Prometheus
from tools.drill.standby import Standby
from tools.faults.harness import Harness, System
from tools.faults.people import PASSWORD, People, Person, some_email
from tools.faults.processes import with_small_disk

DISK_BYTES = 64 << 20
SETTINGS = {
    "TULOU_AUTH_HASH_MEMORY_KIB": "8",
    "TULOU_DATABASE_POOL": "8",
    "TULOU_RATE_LIMIT": "0",
    "TULOU_EMAILS_OUTAGE_SECONDS": "1",
}
PATIENCE = 90.0
"""Real seconds that an alert has to fire, and to be quiet again."""


@dataclass
class Drill:
    """The system, and what may be done to it. `client` has a person signed in."""

    harness: Harness
    system: System
    replica: Standby
    prometheus: Prometheus
    client: httpx.AsyncClient
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def data(self) -> Path:
        """The data folder of the API, on its small disk, as it is seen from here."""
        assert self.system.api is not None
        return Path(f"/proc/{self.system.api.pid}/root{data_folder(self.harness)}")

    @property
    def settings(self) -> Settings:
        """Settings that reach the database as its owner."""
        server = self.harness.postgres.server
        return Settings(database_url=server.url, database_owner_url=server.owner_url)

    @contextlib.contextmanager
    def frozen_database(self) -> Any:
        """Let PostgreSQL hang."""
        with frozen(self.harness.postgres.server.superuser_url):
            yield

    @contextlib.asynccontextmanager
    async def repeated(
        self, act: Callable[[], Awaitable[object]], *, at_once: int = 1
    ) -> AsyncIterator[None]:
        """Do something again and again meanwhile; what goes wrong with it is what the drill wants."""

        async def repeat() -> None:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    await act()
                await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(repeat()) for _ in range(at_once)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[asyncpg.Connection]:
        """Hold a lock that every reader of a table waits for."""
        connection = await asyncpg.connect(self.harness.postgres.server.superuser_url)
        try:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                yield connection
        finally:
            await connection.close()

    async def get_me(self) -> httpx.Response:
        """Ask who is signed in: two statements, one of them on users.users."""
        return await self.client.get("/v1/users/me")

    async def order(self, path: str, **body: Any) -> None:
        """Hand in a job or a mail."""
        answer = await self.client.post(f"/v1/faults/{path}", json=body)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    async def run(self, *arguments: str, **environment: str) -> str:
        """Run a command of `tulou`, as an operator does; return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bootstrap.cli.main", *arguments),
            env={**os.environ, **self.system.environment, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def administrator(self) -> dict[str, str]:
        """Return the headers of a new administrator."""
        email = some_email()
        await self.run("create-admin", "--email", email, TULOU_ADMIN_PASSWORD=PASSWORD)
        return (await People(self.client, None).sign_in(email)).headers

    async def wait_until_firing(self, name: str) -> Exception | None:
        """Wait until the alert fires; return why it did not. It does not raise, so that each cause ends orderly."""
        try:
            await self.prometheus.until(
                lambda firing: name in firing, seconds=PATIENCE, what=f"{name} to fire"
            )
        except AssertionError as error:
            return error
        return None

    async def until_quiet(self, name: str) -> None:
        """Wait until the alert no longer fires."""
        await self.prometheus.until(
            lambda firing: name not in firing, seconds=PATIENCE, what=f"{name} to be quiet"
        )

    async def until_all_quiet(self) -> None:
        """Wait until no alert fires."""
        await self.prometheus.until(lambda firing: not firing, seconds=PATIENCE, what="all to be quiet")


def data_folder(harness: Harness) -> Path:
    """Return where the API keeps its data: a folder on a small disk that only the API sees."""
    return harness.folder / "data"


@contextlib.asynccontextmanager
async def drill() -> AsyncIterator[Drill]:
    """Start servers, a replica and all processes; wait until no alert fires."""
    harness = Harness(lease=4)
    replica = Standby(harness.folder / "replica", harness.postgres.server)
    try:
        await harness.open()
        await asyncio.to_thread(replica.start)
        data_folder(harness).mkdir()
        await record(Settings(database_url=harness.postgres.server.owner_url), datetime.now(UTC))
        async with (
            harness.system(
                workers=1,
                queues=tuple(QUEUES),
                api_inside=with_small_disk(data_folder(harness), DISK_BYTES),
                TULOU_DATA_DIR=str(data_folder(harness)),
                TULOU_DATABASE_REPLICA_URLS=replica.url,
                **SETTINGS,
            ) as system,
            httpx.AsyncClient(base_url=system.url, timeout=15) as client,
        ):
            person: Person = await People(client, None).register()
            client.headers.update(person.headers)
            made = Drill(harness, system, replica, Prometheus([system.url]), client)
            await made.until_all_quiet()
            yield made
    finally:
        await asyncio.to_thread(replica.destroy)
        await asyncio.to_thread(harness.close)


def ids_of(page: httpx.Response) -> list[str]:
    """Return the ids of a page of things."""
    return [thing["id"] for thing in json.loads(page.text)["data"]]
