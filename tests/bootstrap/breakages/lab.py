"""The installation on which breakages are caused, and the table in which they are registered."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from bootstrap.settings.model import Settings
from shared.clock import Clock
from tests.installations import database_at
from tools.dev.valkey import EmbeddedValkey

NOWHERE = "127.0.0.1:9"
"""Nothing listens at the port of the discard protocol."""


@dataclass(frozen=True)
class Broken:
    """How the doctor is to be asked: with other settings, or as a command with this environment."""

    settings: dict[str, Any] = field(default_factory=dict)
    clock: Clock | None = None
    environment: dict[str, str] | None = None
    launch: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lab:
    """An installation of its own, which no worker and no relay serves, and a Valkey of its own."""

    settings: Settings
    servers: Any
    valkey: EmbeddedValkey
    folder: Path

    @property
    def database(self) -> str:
        """The name of the installation's database."""
        return urlsplit(self.url).path[1:]

    @property
    def url(self) -> str:
        """The installation's database as the application's role."""
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()

    @property
    def server(self) -> str:
        """Host and port of PostgreSQL."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def database_url(self, **parts: str) -> str:
        """Return the URL of the database with other parts."""
        return urlunsplit(urlsplit(self.url)._replace(**parts))

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect as the role that owns the tables."""
        assert self.settings.database_owner_url is not None
        async with _connected(self.settings.database_owner_url.get_secret_value()) as connection:
            yield connection

    @asynccontextmanager
    async def superuser(self, database: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        """Connect to the installation's database as the superuser."""
        url = database_at(self.servers.superuser_url, database or self.database)
        async with _connected(url) as connection:
            yield connection


Breaks = Callable[[Lab], AbstractAsyncContextManager[Broken]]


@dataclass(frozen=True)
class Breakage:
    """Something that is broken, and the line that the doctor has to write about it."""

    name: str
    breaks: Breaks
    check: str
    says: tuple[str, ...]
    cures: tuple[str, ...]
    state: str


BREAKAGES: list[Breakage] = []


def breakage(
    check: str, *, says: tuple[str, ...], cures: tuple[str, ...], state: str = "ill"
) -> Callable[[Callable[[Lab], AsyncIterator[Broken]]], None]:
    """Enter a breakage: `says` and `cures` are parts of the line, in which {server} and {database} are filled in."""

    def enter(breaks: Callable[[Lab], AsyncIterator[Broken]]) -> None:
        name = getattr(breaks, "__name__", "").replace("_", " ")
        BREAKAGES.append(Breakage(name, asynccontextmanager(breaks), check, says, cures, state))

    return enter


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
