"""Limits on connections of an address and a process, on a real server with few descriptors."""

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest

from bootstrap.api.protocol.connections import most_connections
from tests.programs import Program, free_port
from tests.security.conftest import Connection, Live

GREEDY, OTHER = "127.0.0.9", "127.0.0.2"
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n{"
DESCRIPTORS = 256
PATIENT = {
    "TULOU_HEAD_TIMEOUT": "60",
    "TULOU_BODY_TIMEOUT": "60",
    "TULOU_KEEP_ALIVE_TIMEOUT": "60",
    "TULOU_SHUTDOWN_GRACE": "2",
    "TULOU_LOG_FORMAT": "json",
}


@pytest.fixture
def scarce(servers, settings) -> Iterator[Live]:
    """An API that may open 256 descriptors."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$0" -m bootstrap.cli.main serve', sys.executable]
    environment = servers.environment | PATIENT | {"TULOU_PORT": str(port), "TULOU_PUBLIC_URL": url}
    program = Program(command, environment | {"TULOU_TRUSTED_PROXIES": ""})
    program.wait_until_it_answers(f"{url}/health/live")
    yield Live(program, port)
    program.stop()


@contextlib.asynccontextmanager
async def many(live: Live, count: int, *, saying: bytes, address: str) -> AsyncIterator[list[Connection]]:
    """Open connections from one address, some at a time."""
    opened: list[Connection] = []

    async def one() -> None:
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", live.port, local_addr=(address, 0))
            opened.append(Connection(reader, writer))
            await opened[-1].say(saying)

    for begun in range(0, count, 20):
        await asyncio.gather(*(one() for _ in range(min(20, count - begun))))
    try:
        yield opened
    finally:
        for connection in opened:
            connection.writer.close()


async def _ask(live: Live) -> float:
    """Ask on a connection of one's own from another address; return the seconds that it took."""
    started = time.monotonic()
    transport = httpx.AsyncHTTPTransport(local_address=OTHER)
    async with httpx.AsyncClient(base_url=live.url, timeout=10, transport=transport) as client:
        assert (await client.get("/health/live")).status_code == 200
    return time.monotonic() - started


def _lines(live: Live) -> int:
    return live.program.output.count('"connections_limited"')


@pytest.mark.parametrize("saying", [b"", GET, GET[:-5]], ids=["silent", "kept alive", "half a head"])
async def test_three_hundred_idle_connections_lock_nobody_out(scarce: Live, saying: bytes) -> None:
    async with many(scarce, 300, saying=saying, address=GREEDY) as connections:
        assert len(connections) == 300
        for _ in range(10):
            assert await _ask(scarce) < 5
        async with asyncio.timeout(10):
            while _lines(scarce) == 0:
                await asyncio.sleep(0.1)
        assert all([await _ask(scarce) < 5 for _ in range(3)])
    assert _lines(scarce) == 1
    assert "Too many open files" not in scarce.program.output


async def test_an_address_with_many_busy_connections_is_told_so_and_others_are_let_in(scarce: Live) -> None:
    async with many(scarce, 100, saying=HALF, address=GREEDY) as connections:
        lines = await _first_lines(connections)
        answers = [each for each, line in zip(connections, lines, strict=True) if b" 429 " in line]
        assert answers
        rest = await answers[0].everything()
        assert b'"request.too_many_connections"' in rest
        assert b"retry-after: 5" in rest.lower()
        assert await _ask(scarce) < 5


async def _first_lines(connections: list[Connection]) -> list[bytes]:
    """Return the first line of each answer that comes by itself."""

    async def one(connection: Connection) -> bytes:
        try:
            async with asyncio.timeout(0.5):
                return await connection.reader.readline()
        except TimeoutError:
            return b""
        except ConnectionError:  # it came before the connection was cut
            return bytes(connection.reader._buffer)

    return await asyncio.gather(*(one(each) for each in connections))


async def test_a_full_process_closes_idle_connections_of_the_greediest_first(
    serving: Callable[..., Live],
) -> None:
    live = serving(**PATIENT, TULOU_MAX_CONNECTIONS="8", TULOU_TRUSTED_PROXIES="127.0.0.9")
    async with many(live, 5, saying=GET, address=GREEDY), many(live, 1, saying=GET, address=OTHER) as kept:
        await kept[0].heard(b'{"status":"ok"}')
        async with many(live, 20, saying=GET, address="127.0.0.3") as greedy:
            ended = [asyncio.create_task(each.everything()) for each in greedy]
            await asyncio.wait(ended, timeout=1)
            assert sum(each.done() for each in ended) >= 12
            await kept[0].say(GET)
            await kept[0].heard(b'{"status":"ok"}')


async def test_a_process_full_of_busy_connections_says_so(serving: Callable[..., Live]) -> None:
    live = serving(**PATIENT, TULOU_MAX_CONNECTIONS="8", TULOU_TRUSTED_PROXIES="127.0.0.9")
    line = b""
    async with many(live, 8, saying=HALF, address=GREEDY), asyncio.timeout(15):
        while not line:  # until all eight have arrived
            async with many(live, 1, saying=HALF, address=GREEDY) as one_more:
                [line] = await _first_lines(one_more)
    assert b" 503 " in line


def test_connections_are_fewer_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (1024, 256)}
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, wanted: limits.update(raised=wanted))
    assert most_connections(4096, pooled=32) == 80
    assert limits["raised"] == (256, 256)
    limits["now"] = (1024, 1 << 20)
    assert most_connections(4096, pooled=32) == 4096
