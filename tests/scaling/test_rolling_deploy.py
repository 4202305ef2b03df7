"""Two versions with a migration between them, under load: no request fails, no job is lost or run twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from alembic import command

from bootstrap.migrations.runner import FOLDER, alembic_config
from bootstrap.settings.model import Settings
from tools.dev.ports import choose_port
from tools.drill.balancer import Balancer
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, judge
from tools.faults.people import People
from tools.faults.processes import Child

KINDS = ("faults.effect", "faults.newer", "faults.changed")
PACE = 25
"""Rounds of the load in a second: each is a job; some are files and mails besides."""

NEXT = '''
"""The next release: more columns, an index, a default."""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "nextrelease1", "{head}", None, None


def upgrade():
    op.add_column("jobs", sa.Column("note", sa.Text(), nullable=True), schema="jobs")
    op.add_column("sessions", sa.Column("device", sa.Text(), server_default="", nullable=False), schema="auth")
    op.add_column("users", sa.Column("nickname", sa.Text(), nullable=True), schema="users")
    op.add_column("files", sa.Column("origin", sa.Text(), nullable=True), schema="files")
    with op.get_context().autocommit_block():
        op.create_index("ix_jobs_note", "jobs", ["note"], schema="jobs", postgresql_concurrently=True)
'''


@pytest.fixture(scope="module")
async def deployment() -> AsyncIterator[Harness]:
    built = Harness(lease=4)
    try:
        await built.open()
        yield built
    finally:
        await asyncio.to_thread(built.close)


class Load:
    """What clients do all the time, each request on a connection of its own. `failed` must stay empty."""

    def __init__(self, url: str) -> None:
        self.kinds: tuple[str, ...] = KINDS[:1]
        self.accepted: list[UUID] = []
        self.failed: list[str] = []
        self.answers: Counter[str] = Counter()
        self.client = httpx.AsyncClient(
            base_url=url, timeout=30, headers={"Connection": "close"}, limits=httpx.Limits(max_connections=64)
        )

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator["Load"]:
        """Go on until the block ends; then wait for the last answers."""
        person = await People(self.client, None).register()
        over = asyncio.Event()
        going = asyncio.create_task(self._go_on(over, person.headers))
        try:
            yield self
        finally:
            over.set()
            await going
            await self.client.aclose()

    async def rounds(self, number: int) -> None:
        """Wait until so many more jobs were accepted."""
        wanted = len(self.accepted) + number
        async with asyncio.timeout(60):
            while len(self.accepted) < wanted:
                await asyncio.sleep(0.02)

    async def _go_on(self, over: asyncio.Event, headers: dict[str, str]) -> None:
        async with asyncio.TaskGroup() as requests:
            number = 0
            while not over.is_set():
                requests.create_task(self._job(self.kinds[number % len(self.kinds)], number))
                if number % 5 == 0:
                    requests.create_task(self._ask("GET", "/v1/users/me", headers=headers))
                if number % 10 == 0:
                    requests.create_task(self._file(headers, f"file {number}".encode()))
                number += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), 1 / PACE)

    async def _job(self, kind: str, number: int) -> None:
        # Some are in the middle of their work, or of their commit, when their process is told to go.
        work = {"seconds": 6 if number % 50 == 25 else 0.05}
        order = {"kind": kind, "work": work, "lingers": 0.3 if number % 20 == 7 else 0}
        answer = await self._ask("POST", "/v1/faults/jobs", json=order)
        if answer is not None:
            self.accepted.append(UUID(answer.json()["id"]))

    async def _file(self, headers: dict[str, str], content: bytes) -> None:
        files = {"file": ("a.txt", content, "text/plain")}
        made = await self._ask("POST", "/v1/files", headers=headers, files=files)
        if made is None:
            return
        read = await self._ask("GET", f"/v1/files/{made.json()['id']}/content", headers=headers)
        if read is not None and read.content != content:
            self.failed.append("a file came back with other bytes")

    async def _ask(self, method: str, path: str, **more) -> httpx.Response | None:
        try:
            answer = await self.client.request(method, path, **more)
        except httpx.TransportError as error:
            self.failed.append(f"{method} {path}: {error!r}")
            return None
        self.answers[f"{method} {path.split('/')[2]}"] += 1
        if answer.is_success:
            return answer
        self.failed.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return None


async def new_api(
    system: System, balancer: Balancer, ends: contextlib.AsyncExitStack, **environment: str
) -> tuple[str, Child]:
    """Start an API, wait until it is ready, put it behind the balancer."""
    port = choose_port(f"api-{system.harness.number()}", memory=system.harness.folder / "ports.json")
    url = f"http://127.0.0.1:{port}"
    child = system.new_api(TULOU_PORT=str(port), TULOU_PUBLIC_URL=system.url, **environment)
    ends.callback(child.kill)
    own = System(system.harness, system.environment, url, api=child)
    await own.until_api_answers()
    balancer.backends.append(url)
    return url, child


def migrate_to_the_next_release(deployment: Harness, folder: Path) -> None:
    """Run a migration that the running version doesn't have."""
    settings = Settings(
        database_url=deployment.postgres.server.url, database_owner_url=deployment.postgres.server.owner_url
    )
    config = alembic_config(settings)
    (head,) = command.ScriptDirectory.from_config(config).get_heads()
    (folder / "next_release.py").write_text(NEXT.format(head=head))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"{FOLDER / 'versions'}\n{folder}")
    command.upgrade(config, "head")


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_a_release_is_rolled_out_under_load(deployment: Harness, tmp_path: Path) -> None:
    limits = {"TULOU_RATE_LIMIT": "0", "TULOU_WORKER_SOFT_SHUTDOWN": "3"}
    shared = limits | {"FAULTS_UNKNOWN_PAUSE": "0.5"}
    row = Row()
    async with (
        contextlib.AsyncExitStack() as ends,
        Balancer().listening() as balancer,
        deployment.system(api=False, FAULTS_GENERATION="old", **shared) as system,
    ):
        system.url = f"http://127.0.0.1:{balancer.port}"
        old_apis = [await new_api(system, balancer, ends) for _ in range(2)]
        old_workers, old_relays = system.workers[:], system.relays[:]
        async with Load(system.url).going_on() as load:
            await load.rounds(50)
            await asyncio.to_thread(migrate_to_the_next_release, deployment, tmp_path)
            await load.rounds(50)
            new = {"FAULTS_GENERATION": "new"}
            await asyncio.gather(
                system.new_relay(**new).until_it_says("relay_started"),
                *(system.new_worker(**new).until_it_says("ready.") for _ in old_workers),
            )
            for url, old in old_apis:
                await new_api(system, balancer, ends, **new)
                balancer.backends.remove(url)
                await old.stop()
            load.kinds = KINDS  # old workers meet jobs that only the new version knows
            await load.rounds(50)
            await asyncio.gather(*(old.stop() for old in [*old_workers, *old_relays]))
            await load.rounds(50)
        await judge(deployment, row, load.accepted, kinds=KINDS)
    assert load.failed == []
    assert min(load.answers.values()) > 20, load.answers
    assert row.is_green, row
    assert row.done == row.accepted >= 200, row
    burnt = await deployment.fetch("SELECT outcome FROM jobs.attempts WHERE outcome IN ('failed', 'crashed')")
    assert burnt == []
