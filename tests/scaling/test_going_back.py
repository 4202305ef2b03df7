"""A release is rolled out and rolled back under load: no request fails, whichever version serves it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.programs import tulou
from tests.scaling.test_rolling_deploy import Load
from tests.versions import newer_version
from tools.dev.ports import choose_port
from tools.drill.balancer import Balancer
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, judge
from tools.faults.processes import Child, until


@pytest.fixture
async def deployment() -> AsyncIterator[Harness]:
    built = Harness(lease=4)
    try:
        await built.open()
        yield built
    finally:
        await asyncio.to_thread(built.close)


class Release:
    """The processes of one version. `folder` is its checkout; None: this one."""

    def __init__(self, system: System, ends: contextlib.AsyncExitStack, folder: Path | None = None) -> None:
        self.system, self.folder = system, folder
        port = choose_port(f"api-{system.harness.number()}", memory=system.harness.folder / "ports.json")
        self.url = f"http://127.0.0.1:{port}"
        self.api = system.new_api(TULOU_PORT=str(port), TULOU_PUBLIC_URL=system.url, folder=folder)
        ends.callback(self.api.kill)
        self.others: list[Child] = []

    async def ready(self) -> tuple[int, str]:
        """Return what `/health/ready` says: the status, and how the database is."""
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as client:
            answer = await client.get("/health/ready")
        return answer.status_code, answer.json()["checks"]["database"]

    async def until_alive(self) -> None:
        """Wait until the API answers at all."""
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as client, asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await client.get("/health/live")
                    return
                await asyncio.sleep(0.1)

    async def until_ready(self) -> None:
        """Wait until the API may get requests."""
        async with asyncio.timeout(60):
            await self.until_alive()
            while await self.ready() != (200, "ok"):
                await asyncio.sleep(0.1)

    async def start_the_others(self) -> None:
        """Start a relay and a worker."""
        relay, worker = self.system.new_relay(folder=self.folder), self.system.new_worker(folder=self.folder)
        self.others = [relay, worker]
        await asyncio.gather(relay.until_it_says("relay_started"), worker.until_it_says("ready."))

    async def stop(self) -> None:
        """Stop everything of it."""
        await asyncio.gather(*(child.stop() for child in (self.api, *self.others)))


async def migrate(deployment: Harness, folder: Path | None = None) -> str:
    """Run `tulou migrate` of a version; return what it says."""
    program = tulou("migrate", environment=deployment.environment, folder=folder)
    try:
        await until(lambda: not program.is_running, seconds=60, what="tulou migrate")
        assert program.process.returncode == 0, program.output
        return program.output
    finally:
        program.stop()


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_a_release_is_rolled_out_and_taken_back_under_load(deployment: Harness, tmp_path: Path) -> None:
    folder = await asyncio.to_thread(newer_version, tmp_path)
    row = Row()
    async with (
        contextlib.AsyncExitStack() as ends,
        Balancer().listening() as balancer,
        deployment.system(api=False, relays=0, workers=0, TULOU_RATE_LIMIT="0") as system,
    ):
        system.url = f"http://127.0.0.1:{balancer.port}"
        old = Release(system, ends)
        await asyncio.gather(old.until_ready(), old.start_the_others())
        balancer.backends.append(old.url)
        async with Load(system.url).going_on() as load:
            await load.rounds(30)

            new = Release(system, ends, folder)
            await new.until_alive()
            assert await new.ready() == (503, "not_migrated")
            await migrate(deployment, folder)
            await asyncio.gather(new.until_ready(), new.start_the_others())
            assert await old.ready() == (200, "ok")
            balancer.backends.append(new.url)
            await load.rounds(30)
            balancer.backends.remove(old.url)
            await old.stop()
            await load.rounds(30)

            assert "still works with it" in await migrate(deployment)
            again = Release(system, ends)
            await asyncio.gather(again.until_ready(), again.start_the_others())
            balancer.backends.append(again.url)
            await load.rounds(30)
            balancer.backends.remove(new.url)
            await new.stop()
            await load.rounds(30)
        await judge(deployment, row, load.accepted)
    assert load.failed == []
    assert row.is_green, row
    assert row.done == row.accepted >= 150, row
