"""A migrated and filled system to measure on: its servers, its people, and how programs are started on it."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bootstrap import compose
from bootstrap.container import TulouContainer
from bootstrap.migrations.runner import migrate
from bootstrap.settings.loading import load_settings
from shared.logging import configure_logging
from tools.bench.processes import run_on, spare_core
from tools.bench.rounds import Server, start
from tools.bench.seed import People, seed
from tools.bench.system import System, running_system

_MODULES = {
    "Tulou": "tools.bench.served",
    "without middleware": "tools.bench.served",
    "raw asyncpg": "tools.bench.floors.raw",
    "SQLModel sessions": "tools.bench.floors.sqlmodel_app",
    "bare ASGI": "tools.bench.floors.hello",
    "bare transfer": "tools.bench.floors.transfer",
    "nginx": "tools.bench.floors.nginx",
}


@dataclass
class Workplace:
    """Where everything is. Servers start when they are first asked for, and stay."""

    system: System
    container: TulouContainer
    people: People
    environment: dict[str, str]
    running: dict[tuple[str, bool], Server] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """A folder for whatever is needed."""
        return self.system.folder

    def server(self, name: str, *, every_core: bool = False, **environment: str) -> Server:
        """Return a running server: on one core alone, or where the machine puts it."""
        known = self.running.get((name, every_core))
        if known is not None:
            return known
        given = {**self.environment, **environment}
        if every_core:
            given["BENCH_CORES"] = "all"
        if name == "without middleware":
            given["BENCH_MIDDLEWARE"] = "off"
        probe = "/health/live" if _MODULES[name] == "tools.bench.served" else "/"
        folder = self.folder / f"cores-{every_core}"
        folder.mkdir(exist_ok=True)
        server = start(name, _MODULES[name], folder=folder, environment=given, probe=probe)
        self.running[name, every_core] = server
        return server

    def stop(self) -> None:
        """Stop every server."""
        for server in self.running.values():
            server.program.stop()
        self.running.clear()


@contextlib.asynccontextmanager
async def workplace(environment: Mapping[str, str]) -> AsyncIterator[Workplace]:
    """Start PostgreSQL and Valkey, migrate, fill; remove everything at the end."""
    with running_system() as system:
        given = {**system.environment, **environment}
        os.environ.update(given)
        settings = load_settings()
        configure_logging(level="warning", log_format="console")
        await asyncio.to_thread(migrate, settings)
        container = compose.compose(settings, "command")
        await compose.start(container)
        try:
            people = await seed(system.postgres.superuser_url, container)
            _keep_apart(system)
            given["BENCH_PUBLIC_KEY"] = _public_key(container)
            place = Workplace(system, container, people, given)
            try:
                yield place
            finally:
                place.stop()
        finally:
            await compose.stop(container)


def _keep_apart(system: System) -> None:
    """Keep the database and Valkey off the measured server's core."""
    for process in psutil.process_iter(["cmdline"]):
        if str(system.folder) in " ".join(process.info["cmdline"] or []):
            for each in [process, *process.children(recursive=True)]:
                run_on(spare_core(), each.pid)


def _public_key(container: TulouContainer) -> str:
    encoded = container.auth.access_tokens().published_keys()[0]["x"]
    return base64.urlsafe_b64decode(encoded + "=").hex()
