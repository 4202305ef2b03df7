"""PostgreSQL and Valkey on ports that stay theirs, to be stopped, killed, frozen and started again."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from tools.dev.postgres import EmbeddedPostgres
from tools.dev.valkey import EmbeddedValkey
from tools.faults.processes import until


class Postgres:
    """A PostgreSQL that writes down what it commits."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedPostgres(folder / "postgres", durable=True)

    async def start(self) -> None:
        """Start it; it recovers from a crash by itself."""
        await asyncio.to_thread(self.server.start)

    async def stop_immediately(self) -> None:
        """End every connection and every transaction at once, as a crash would (pg_ctl -m immediate)."""
        pid = self.server.pid
        if pid is not None:
            os.kill(pid, signal.SIGQUIT)
            await until(lambda: self.server.pid is None, seconds=20, what="PostgreSQL to end")

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask as the superuser, on a connection of its own."""
        connection = await asyncpg.connect(self.server.superuser_url, timeout=10)
        try:
            return await connection.fetch(sql, *arguments, timeout=30)
        finally:
            connection.terminate()

    def destroy(self) -> None:
        """Stop it and remove what it kept."""
        self.server.destroy()


class Valkey:
    """A Valkey whose data is gone when it ends."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedValkey(folder / "valkey")

    async def start(self) -> None:
        """Start it, empty."""
        await asyncio.to_thread(self.server.start)

    async def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)
        await until(lambda: self.server.pid is None, seconds=5, what="Valkey to end")

    def freeze(self) -> None:
        """Let it hang: connections are accepted by the kernel, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    async def empty(self) -> None:
        """FLUSHALL."""
        async with self.client() as redis:
            await redis.flushall()

    @contextlib.asynccontextmanager
    async def client(self) -> Any:
        """Return a client of the raw database."""
        redis = Redis.from_url(self.server.url, socket_timeout=5)
        try:
            yield redis
        finally:
            await redis.aclose()

    def destroy(self) -> None:
        """Stop it."""
        self.thaw()
        self.server.destroy()

    def _signal(self, number: int) -> None:
        if self.server.pid is not None:
            os.kill(self.server.pid, number)
