"""Test harness of the faults: servers, and systems of real processes on them."""

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from bootstrap.migrations.runner import migrate
from bootstrap.settings.generated_secrets import ensure_secrets, read_environment_file
from bootstrap.settings.model import Settings
from tools.dev.ports import choose_port
from tools.faults.mail_server import MailServer
from tools.faults.processes import Child
from tools.faults.servers import Postgres, Valkey

QUICK = {
    "TULOU_JOBS_RELAY_INTERVAL": "0.2",
    "TULOU_JOBS_HINT_REPEAT": "5",
    "TULOU_JOBS_RETRY_BASE": "1",
    "TULOU_JOBS_CANCEL_GRACE": "1",
    "TULOU_EMAILS_OUTAGE_SECONDS": "2",
    "TULOU_EMAILS_TIMEOUT_SECONDS": "2",
    "TULOU_DATABASE_TIMEOUT": "5",
    "TULOU_RATE_LIMIT": "1000000",
}
_PREPARE = """
CREATE SCHEMA faults;
CREATE TABLE faults.effects (
    id bigserial PRIMARY KEY, job_id uuid NOT NULL, attempt int NOT NULL, pid int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT USAGE ON SCHEMA faults TO tulou_app;
GRANT INSERT ON faults.effects TO tulou_app;
GRANT USAGE ON SEQUENCE faults.effects_id_seq TO tulou_app;
"""
_CLEAR = (
    "TRUNCATE jobs.jobs, jobs.attempts, jobs.schedules, jobs.workers, emails.emails, faults.effects CASCADE"
)


@dataclass
class System:
    """Processes that run the program. `environment` is what they share; `url` is where the API is."""

    harness: "Harness"
    environment: dict[str, str]
    url: str
    api: Child | None = None
    relays: list[Child] = field(default_factory=list)
    workers: list[Child] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    """A command that becomes each program that is started."""

    @property
    def children(self) -> list[Child]:
        """All of them."""
        return [*([self.api] if self.api else []), *self.relays, *self.workers]

    async def add_worker(self, *queues: str, **environment: str) -> Child:
        """Start one more worker, and wait until it works."""
        worker = self.new_worker(*queues, **environment)
        await worker.until_it_says("ready.")
        return worker

    def new_worker(self, *queues: str, folder: Path | None = None, **environment: str) -> Child:
        """Start one more worker."""
        names = queues or ("default",)
        worker = self._new("worker", *names, folder=folder, **environment)
        self.workers.append(worker)
        return worker

    def new_relay(self, *, folder: Path | None = None, **environment: str) -> Child:
        """Start one more relay."""
        relay = self._new("relay", folder=folder, **environment)
        self.relays.append(relay)
        return relay

    def new_api(self, *, inside: Sequence[str] = (), folder: Path | None = None, **environment: str) -> Child:
        """Start the API, `inside` a command that becomes it; `folder` is the checkout of another version."""
        self.api = self._new("serve", inside=inside, folder=folder, **environment)
        return self.api

    async def until_ready(self) -> None:
        """Wait until everything that was started is at work."""
        waits = [worker.until_it_says("ready.") for worker in self.workers]
        waits += [relay.until_it_says("relay_started") for relay in self.relays]
        if self.api is not None:
            waits.append(self.until_api_answers())
        await asyncio.gather(*waits)

    async def until_api_answers(self, *, seconds: float = 40) -> None:
        """Wait until the API says that it is ready."""
        async with httpx.AsyncClient(base_url=self.url, timeout=5) as client:

            async def ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/health/ready")).status_code == httpx.codes.OK
                return False

            for _ in range(int(seconds * 20)):
                if await ready():
                    return
                await asyncio.sleep(0.05)
        raise AssertionError(f"the API never answered:\n{self.api.output[-3000:] if self.api else ''}")

    def end(self) -> None:
        """End all of them at once."""
        for child in self.children:
            child.kill()

    def _new(
        self, *arguments: str, inside: Sequence[str] = (), folder: Path | None = None, **environment: str
    ) -> Child:
        number = self.harness.number()
        name = f"{number:03d}-{arguments[0]}"
        child = Child(
            name,
            ["tools.faults.program", *arguments],
            self.environment | environment,
            self.harness.folder / f"{name}.log",
            inside=[*self.inside, *inside],
            folder=folder,
        )
        child.start()
        return child


class Harness:
    """Servers in a folder of their own. `scale` shrinks loads and times; `seed` makes chance repeatable.

    `lease` is in seconds: 60 in production, but here a fault should take seconds too.
    """

    def __init__(self, *, scale: float = 1.0, seed: int = 1, lease: float = 4.0) -> None:
        self.scale = scale
        self.lease = lease
        self.seed = seed
        self.random = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="tulou-faults-"))
        self.folder.chmod(0o755)
        self.postgres = Postgres(self.folder)
        self.valkey = Valkey(self.folder)
        self.mail = MailServer(self.folder)
        self.environment: dict[str, str] = {}
        self._numbers = 0

    def number(self) -> int:
        """Return the next number."""
        self._numbers += 1
        return self._numbers

    def count(self, full: int, *, least: int = 10) -> int:
        """Return a load's size at this scale."""
        return max(min(full, least), round(full * self.scale))

    def seconds(self, full: float, *, least: float = 5) -> float:
        """Return a time at this scale."""
        return max(min(full, least), full * self.scale)

    def chance(self, low: float, high: float) -> float:
        """Return a number between."""
        return self.random.uniform(low, high)

    async def open(self) -> None:
        """Start the servers; prepare the database."""
        await asyncio.gather(self.postgres.start(), self.valkey.start(), self.mail.start())
        self.mail.obey()
        self.environment = {
            "TULOU_ENV": "test",
            "TULOU_DATA_DIR": str(self.folder),
            "TULOU_TRUSTED_PROXIES": "127.0.0.1",
            "TULOU_LOG_FORMAT": "json",
            "DATABASE_URL": self.postgres.server.url,
            "TULOU_DATABASE_OWNER_URL": self.postgres.server.owner_url,
            "REDIS_URL": self.valkey.server.url,
            "SMTP_URL": self.mail.url,
            **QUICK,
            "TULOU_JOBS_LEASE": str(self.lease),
            "TULOU_JOBS_HEARTBEAT": str(self.lease / 4),
            **read_environment_file(ensure_secrets(self.folder)),
        }
        settings = Settings(
            database_url=self.postgres.server.url, database_owner_url=self.postgres.server.owner_url
        )
        await asyncio.to_thread(migrate, settings)
        for statement in filter(str.strip, _PREPARE.split(";")):
            await self.fetch(statement)

    def shut(self) -> None:
        """Stop everything."""
        if self.mail.is_running:
            self.mail.kill()
        self.valkey.destroy()
        self.postgres.destroy()

    def close(self) -> None:
        """Stop everything and remove the folder."""
        self.shut()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask the database, past everything under test."""
        return await self.postgres.fetch(sql, *arguments)

    async def value(self, sql: str, *arguments: Any) -> Any:
        """Return the first value."""
        rows = await self.fetch(sql, *arguments)
        return rows[0][0] if rows else None

    async def until_value(self, sql: str, wanted: Any, *, seconds: float) -> bool:
        """Wait until a query returns a value; tell whether it did."""
        limit = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < limit:
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                if await self.value(sql) == wanted:
                    return True
            await asyncio.sleep(0.1)
        return False

    @contextlib.asynccontextmanager
    async def system(
        self,
        *,
        api: bool = True,
        relays: int = 1,
        workers: int = 2,
        queues: Sequence[str] = ("default",),
        api_inside: Sequence[str] = (),
        **environment: str,
    ) -> AsyncIterator[System]:
        """Run the program on an empty database; end it without mercy."""
        await self.fetch(_CLEAR)
        await self.valkey.empty()
        self.mail.forget()
        port = choose_port("faults-api", memory=self.folder / "ports.json")
        url = f"http://127.0.0.1:{port}"
        shared = self.environment | {"TULOU_PORT": str(port), "TULOU_PUBLIC_URL": url} | environment
        system = System(self, shared, url)
        try:
            if api:
                system.new_api(inside=api_inside)
            for _ in range(relays):
                system.new_relay()
            for _ in range(workers):
                system.new_worker(*queues)
            await system.until_ready()
            yield system
        finally:
            system.end()
            await self._recover()

    async def _recover(self) -> None:
        """Leave the servers running for the next fault, whatever this one has done to them."""
        self.valkey.thaw()
        if self.valkey.server.pid is None:
            await self.valkey.start()
        if self.postgres.server.pid is None:
            await self.postgres.start()
        if not self.mail.is_running:
            await self.mail.start()
