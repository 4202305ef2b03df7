"""A real relay, workers and an API recover by themselves after PostgreSQL has refused them."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from tests.programs import Program, free_port, stop_all, tulou
from tools.dev.postgres import APPLICATION, EmbeddedPostgres
from tools.dev.valkey import EmbeddedValkey

PATIENCE = 60.0
"""Seconds; the machine may be busy with ten times as much. At rest everything works within 5 s of the cause's end."""

OUTAGE = 12.0
"""Seconds in which every loop has a round, and those that fail have several."""

SWEPT = """
    SELECT count(*) FROM jobs.jobs WHERE kind = 'files.sweep' AND state = 'succeeded' AND finished_at > $1
"""
SOON = "SELECT count(*) FROM jobs.workers WHERE heartbeat_at > $1"
BREAK_OFF = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{APPLICATION}'"


@dataclass
class Deployment:
    """Servers of a test's own, and the programs that run on them."""

    environment: Mapping[str, str]
    superuser_url: str
    password: str
    programs: list[Program]
    postgres: EmbeddedPostgres

    def send(self, number: signal.Signals) -> None:
        """Send a signal to every process of PostgreSQL."""
        server = psutil.Process(self.postgres.pid)
        for process in (server, *server.children(recursive=True)):
            process.send_signal(number)

    def start(self, *arguments: str, **environment: str) -> Program:
        program = tulou(*arguments, environment={**self.environment, **environment})
        self.programs.append(program)
        return program

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.superuser_url)
        try:
            yield connection
        finally:
            await connection.close()


@pytest.fixture
def deployment(servers, settings: Settings, tmp_path: Path) -> Iterator[Deployment]:
    postgres, valkey = (
        EmbeddedPostgres(tmp_path / "postgres", durable=False),
        EmbeddedValkey(tmp_path / "valkey"),
    )
    programs: list[Program] = []
    try:
        postgres.start()
        valkey.start()
        urls = {
            "DATABASE_URL": postgres.url,
            "TULOU_DATABASE_OWNER_URL": postgres.owner_url,
            "REDIS_URL": valkey.url,
        }
        own = {"TULOU_DATA_DIR": str(tmp_path), "TULOU_WORKER_CONCURRENCY": "1"}
        owner = type(settings.database_url)(postgres.owner_url)
        application = type(settings.database_url)(postgres.url)
        migrate(settings.model_copy(update={"database_url": application, "database_owner_url": owner}))
        password = urlsplit(postgres.url).password or ""
        yield Deployment(
            {**servers.environment, **urls, **own}, postgres.superuser_url, password, programs, postgres
        )
    finally:
        stop_all(programs)
        valkey.stop()
        postgres.destroy()


Statements = tuple[str, ...]
OUTAGES: dict[str, Callable[[Deployment], tuple[Statements, Statements]]] = {
    "a refused login": lambda deployment: (
        (f"ALTER ROLE {APPLICATION} PASSWORD 'another'", BREAK_OFF),
        (f"ALTER ROLE {APPLICATION} PASSWORD '{deployment.password}'",),
    ),
    "a read-only database": lambda _deployment: (
        (f"ALTER ROLE {APPLICATION} SET default_transaction_read_only = on", BREAK_OFF),
        (f"ALTER ROLE {APPLICATION} RESET default_transaction_read_only", BREAK_OFF),
    ),
    "missing tables": lambda _deployment: (
        ("ALTER TABLE jobs.workers RENAME TO gone_workers", "ALTER TABLE jobs.jobs RENAME TO gone_jobs"),
        ("ALTER TABLE jobs.gone_workers RENAME TO workers", "ALTER TABLE jobs.gone_jobs RENAME TO jobs"),
    ),
}


async def until(count: int, *, deployment: Deployment, query: str, since: object) -> None:
    """Wait until the query counts as many."""
    begun = time.monotonic()
    async with deployment.superuser() as connection:
        while await connection.fetchval(query, since) < count:
            assert time.monotonic() < begun + PATIENCE, "\n".join(each.output for each in deployment.programs)
            await asyncio.sleep(0.1)


async def execute(deployment: Deployment, statements: Statements) -> object:
    """Run the statements, and return PostgreSQL's time afterwards."""
    async with deployment.superuser() as connection:
        for statement in statements:
            await connection.execute(statement)
        return await connection.fetchval("SELECT clock_timestamp()")


def lines_of(program: Program) -> list[dict[str, object]]:
    lines = [line for line in program.output.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "outage",
    [name if name == "a refused login" else pytest.param(name, marks=pytest.mark.long) for name in OUTAGES],
)
async def test_everything_works_again_when_the_cause_is_gone(outage: str, deployment: Deployment) -> None:
    begin, end = OUTAGES[outage](deployment)
    port = free_port()
    api = deployment.start("serve", TULOU_PORT=str(port))
    relay, worker = deployment.start("relay"), deployment.start("worker", "--queue", "default")
    start = await execute(deployment, ())
    await until(2, deployment=deployment, query=SOON, since=start)
    api.wait_until_it_answers(f"http://127.0.0.1:{port}/health/live", seconds=PATIENCE)

    begun = time.monotonic()
    await execute(deployment, begin)
    later = deployment.start("worker", "--queue", "mail")
    later.wait_for("background_failed", seconds=PATIENCE)
    await asyncio.sleep(OUTAGE)

    mended = await execute(deployment, end)
    await until(3, deployment=deployment, query=SOON, since=mended)
    job = tulou("jobs", "run", "files.sweep", environment=deployment.environment)
    job.process.wait(PATIENCE)
    assert job.stop() == 0, job.output
    await until(1, deployment=deployment, query=SWEPT, since=mended)

    failing = [relay, worker, later, *([api] if outage == "a refused login" else [])]
    for program in (api, relay, worker, later):
        assert program.is_running, program.output
        lines = lines_of(program)
        told = [str(line["loop"]) for line in lines if line["event"] == "background_failed"]
        assert bool(told) == (program in failing), program.output
        # Once a minute, and a worker has two processes.
        assert max(map(told.count, told), default=0) <= 2 * (1 + (time.monotonic() - begun) // 60), (
            program.output
        )
        assert not [line for line in lines if "exception" in line], program.output
        assert "Traceback" not in program.output


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_nothing_is_restarted_because_the_database_is_frozen(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Rounds are cancelled then, so no loop stands still, although the watchdog bites early."""
    port, liveness_file = free_port(), tmp_path / "pulse"
    api = deployment.start("serve", TULOU_PORT=str(port), TULOU_WATCHDOG="5")
    relay = deployment.start("relay", TULOU_WATCHDOG="5", TULOU_PULSE_FILE=str(liveness_file))
    api.wait_until_it_answers(f"http://127.0.0.1:{port}/health/live", seconds=PATIENCE)
    await until(1, deployment=deployment, query=SOON, since=await execute(deployment, ()))
    deployment.send(signal.SIGSTOP)
    try:
        frozen = time.time()
        await asyncio.sleep(75)
        assert api.is_running, api.output
        assert relay.is_running, relay.output
        assert liveness_file.stat().st_mtime > frozen + 50
    finally:
        deployment.send(signal.SIGCONT)
    mended = await execute(deployment, ())
    await until(1, deployment=deployment, query=SOON, since=mended)
    reasons = [str(line["reason"]) for line in lines_of(relay) if line["event"] == "background_failed"]
    assert reasons, relay.output
    assert "Traceback" not in relay.output
