"""A live API with short deadlines, and clients that send malformed bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from tests.programs import Program, free_port

SHORT = {
    "TULOU_HEAD_TIMEOUT": "0.6",
    "TULOU_BODY_TIMEOUT": "0.8",
    "TULOU_BODY_MIN_BYTES": "1000",
    "TULOU_WRITE_TIMEOUT": "0.8",
    "TULOU_KEEP_ALIVE_TIMEOUT": "1",
    "TULOU_SHUTDOWN_GRACE": "4",
    "TULOU_MAX_HEADERS": "20",
    "TULOU_MAX_HEAD_BYTES": "4096",
}
PATIENCE = 15


@dataclass(frozen=True)
class Connection:
    """Bytes to the server and back."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        """Send bytes; a server that has closed already is none of our business."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def heard(self, until: bytes) -> bytes:
        """Read up to these bytes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(until)

    async def everything(self) -> bytes:
        """Read until the server closes."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@dataclass(frozen=True)
class Live:
    """A running API."""

    program: Program
    port: int

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Connect to it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture(scope="module")
def serving(programs: Callable[..., Program]) -> Callable[..., Live]:
    """Start an API of one's own."""

    def start(**environment: str) -> Live:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = {"TULOU_PUBLIC_URL": url} | SHORT | environment
        program = programs("serve", TULOU_PORT=str(port), **settings)
        program.wait_until_it_answers(f"{url}/health/live")
        return Live(program, port)

    return start


@pytest.fixture(scope="module")
def server(serving: Callable[..., Live]) -> Live:
    """An API that waits for nobody."""
    return serving()
