"""A complete installation beside the one that all tests share: database, data folder, application."""

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx

from bootstrap.api.app import create_api
from bootstrap.compose import compose
from bootstrap.container import TulouContainer
from bootstrap.settings.model import Settings
from shared.queues import QUEUES
from tools.faults.people import People


def database_at(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def new_database(superuser_url: str) -> str:
    """Make an empty database as an operator would; return its name."""
    name = f"made_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(superuser_url)
    try:
        await connection.execute(f"CREATE DATABASE {name} OWNER tulou_owner")
        await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO tulou_app")
    finally:
        await connection.close()
    return name


@dataclass
class Installation:
    """The program on a database of its own, in this process."""

    settings: Settings
    container: TulouContainer
    client: httpx.AsyncClient

    @property
    def people(self) -> People:
        """People of this installation."""
        return People(self.client, self.container)

    async def work_off(self) -> int:
        """Run every due job here, as a worker would; return how many."""
        runner = self.container.jobs.runner()
        await self.container.jobs.relay_rows().promote_due()
        done = 0
        for queue in QUEUES:
            while (job := await runner.claim_next(queue)) is not None:
                await runner.run(job)
                done += 1
        return done + (await self.work_off() if done else 0)


async def isolated_settings(settings: Settings, superuser_url: str, folder: Path, **more: Any) -> Settings:
    """Return settings for a new, empty database and a data folder of its own, with the same secrets."""
    name = await new_database(superuser_url)
    urls = {
        field: type(url)(database_at(url.get_secret_value(), name))
        for field in ("database_url", "database_owner_url")
        if (url := getattr(settings, field)) is not None
    }
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    return settings.model_copy(update={**urls, "data_dir": folder, **more})


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Installation]:
    """Run the application with these settings."""
    container = compose(settings, "api")
    application = create_api(settings, container)
    address = f"198.19.{random.randrange(256)}.{random.randrange(1, 255)}"
    transport = httpx.ASGITransport(application, raise_app_exceptions=False, client=("127.0.0.1", 50_000))
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000", headers={"X-Forwarded-For": address}
        ) as client,
    ):
        yield Installation(settings, container, client)
