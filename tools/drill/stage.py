"""Two APIs behind a proxy, a relay and workers, as processes."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tools.dev.ports import choose_port
from tools.drill.balancer import Balancer
from tools.drill.clients import Clients
from tools.drill.register import Finding
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, judge
from tools.faults.processes import Child

_SETTINGS = {
    "TULOU_RATE_LIMIT": "0",
    "TULOU_WORKER_SOFT_SHUTDOWN": "3",
    "TULOU_FILES_MAX_COUNT": "1000000",
    "TULOU_MAX_CONNECTIONS_PER_ADDRESS": "4096",
}


@dataclass
class Stage:
    """What a rehearsal happens to. `apis` are the APIs behind the proxy, by address."""

    harness: Harness
    system: System
    balancer: Balancer
    clients: Clients
    apis: dict[str, Child] = field(default_factory=dict)

    def run_from(self, folder: Path) -> None:
        """Run the programs that are started from now on from another folder."""
        self.system.inside = ["env", "-C", str(folder)]

    async def add_api(self, **environment: str) -> None:
        """Start an API, and put it behind the proxy when it is ready."""
        harness = self.harness
        port = choose_port(f"api-{harness.number()}", memory=harness.folder / "ports.json")
        url = f"http://127.0.0.1:{port}"
        child = self.system.new_api(TULOU_PORT=str(port), TULOU_PUBLIC_URL=self.system.url, **environment)
        self.apis[url] = child
        await System(harness, self.system.environment, url, api=child).until_api_answers()
        self.balancer.backends.append(url)

    async def remove_api(self, url: str) -> None:
        """Take an API from behind the proxy, and stop it."""
        await self.balancer.drain(url)
        await self.apis.pop(url).stop()

    async def replace_apis(self, **environment: str) -> None:
        """Replace one API after the other."""
        for url in list(self.apis):
            await self.add_api(**environment)
            await self.remove_api(url)

    async def replace_the_others(self, **environment: str) -> None:
        """Start new workers and relays, then stop the old ones."""
        workers, relays = self.system.workers[:], self.system.relays[:]
        for _ in relays:
            await self.system.new_relay(**environment).until_it_says("relay_started")
        for _ in workers:
            await self.system.new_worker(**environment).until_it_says("ready.")
        for old in [*workers, *relays]:
            await old.stop()
            (self.system.workers if old in self.system.workers else self.system.relays).remove(old)

    def client(self) -> httpx.AsyncClient:
        """Return a client that uses each connection once: the proxy may take an API away between two requests."""
        return httpx.AsyncClient(base_url=self.system.url, timeout=30, headers={"Connection": "close"})

    @contextlib.asynccontextmanager
    async def going_on(self, finding: Finding) -> AsyncIterator[None]:
        """Let the clients ask until the block ends."""
        finding.clients = self.clients.counts
        async with self.clients.going_on():
            yield

    async def judge(self, finding: Finding) -> None:
        """Let the jobs come to an end; expect that each was done once."""
        row = Row()
        await judge(self.harness, row, self.clients.accepted)
        finding.expect(
            row.is_green, f"{row.accepted} jobs accepted, {row.lost} lost, {row.doubled} done twice"
        )

    def pids(self) -> set[int]:
        """Return the processes that run: the same afterwards means that nothing was restarted."""
        children = [*self.apis.values(), *self.system.relays, *self.system.workers]
        return {child.pid for child in children if child.code is None}


@contextlib.asynccontextmanager
async def stage(harness: Harness, **environment: str) -> AsyncIterator[Stage]:
    """Start everything; kill it at the end."""
    async with (
        Balancer().listening() as balancer,
        harness.system(api=False, **_SETTINGS, **environment) as system,
    ):
        system.url = f"http://127.0.0.1:{balancer.port}"
        clients = Clients(system.url)
        built = Stage(harness, system, balancer, clients)
        try:
            for _ in range(2):
                await built.add_api()
            yield built
        finally:
            for child in built.apis.values():
                child.kill()
