"""Clients that send many requests before they have read the responses, on a real server."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx
import psutil
import pytest

from tests.security.conftest import PATIENCE, Connection, Live
from tools.faults.people import People, Person

GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b'{"status":"ok"}'
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f00050001ff"
    "5d9a9c6b0000000049454e44ae426082"
)


@pytest.fixture
async def slow(server: Live, app, composition) -> AsyncIterator[bytes]:
    """Return a request that is answered for as long as no worker takes a job."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        person: Person = await People(client, composition).register()
        files = {"file": ("dot.png", PICTURE, "image/png")}
        file = await client.post("/v1/files", files=files, headers=person.headers)
        assert file.status_code == 201, file.text
        path = f"{file.json()['jobs'][0]['url']}/events"
        field = f"Authorization: {person.headers['Authorization']}"
        yield f"GET {path} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode()


async def test_thousands_of_requests_behind_a_slow_one_stay_unread(server: Live, slow: bytes) -> None:
    process = psutil.Process(server.program.process.pid)
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(server.connection()) for _ in range(30)]
        before = process.memory_info().rss
        sending = [asyncio.create_task(each.say(slow + GET * 6000)) for each in connections]
        await asyncio.gather(*(each.heard(b"text/event-stream") for each in connections))
        await asyncio.sleep(1)
        grown = (process.memory_info().rss - before) / (1 << 20)
        for task in sending:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    # 30 streams, and at most one read of 250 KiB and eight requests on each; all of them would be 500 MiB.
    assert grown < 60, f"{grown:.0f} MiB"


async def _answers(connection: Connection, count: int) -> None:
    async with asyncio.timeout(PATIENCE * 3):
        for _ in range(count):
            await connection.reader.readuntil(OK)


@pytest.mark.parametrize("size", [61, 4096, 1 << 20])
async def test_every_pipelined_request_is_answered(server: Live, size: int) -> None:
    requests = GET * 2000
    async with server.connection() as connection:
        answered = asyncio.create_task(_answers(connection, 2000))
        for start in range(0, len(requests), size):
            await connection.say(requests[start : start + size])
        await answered


async def test_bodies_of_either_kind_may_lie_between_pipelined_requests(server: Live) -> None:
    known = b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n" + b"\r\n\r\n" * 10
    chunked = (
        b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"28\r\n" + b"\r\n\r\n" * 10 + b"\r\n0\r\n\r\n"
    )
    async with server.connection() as connection:
        await connection.say((known + GET + chunked + GET * 3) * 20)
        for _ in range(20):
            await connection.heard(b"HTTP/1.1 415 ")
            await connection.heard(OK)
            await connection.heard(b"HTTP/1.1 415 ")
            for _ in range(3):
                await connection.heard(OK)


async def test_a_body_is_not_taken_for_a_head_however_it_arrives(server: Live) -> None:
    head = b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
    async with server.connection() as connection:
        for _ in range(3):  # heads have 4 KiB here
            await connection.say(head + b"x" * 20_000)
            await connection.heard(b"HTTP/1.1 415 ")
        await connection.say(GET)
        await connection.heard(OK)


async def test_a_client_that_is_not_read_misses_no_deadline(server: Live, slow: bytes) -> None:
    async with server.connection() as connection:
        await connection.say(slow + GET * 8 + b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\n")
        await connection.heard(b"text/event-stream")
        await asyncio.sleep(2)  # heads have 0.6 s, bodies 0.8 s
        assert not connection.reader.at_eof()


async def test_blank_lines_before_a_request_are_bounded(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(b"\r\n" * 4 + GET)
        await connection.heard(OK)
        await connection.say(b"\r\n" * 20_000)
        assert b'"request.head_too_large"' in await connection.everything()


async def _logged(server: Live, text: str, *, after: int) -> str:
    """Wait for a line of the log, and return what was logged until then."""
    async with asyncio.timeout(PATIENCE):
        while text not in server.program.output[after:]:
            await asyncio.sleep(0.05)
    return server.program.output[after:]


async def test_a_client_that_goes_away_while_it_has_requests_waiting_is_no_error(server: Live) -> None:
    before = len(server.program.output)
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ in range(5):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(request * 3)
            await asyncio.sleep(0.4)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with server.connection() as connection:
        await connection.say(GET)
        await connection.heard(OK)
    await asyncio.sleep(0.5)
    output = server.program.output[before:]
    assert "RuntimeError" not in output
    assert "unexpected_error" not in output
    assert "Exception in ASGI application" not in output


async def test_a_stream_with_requests_behind_it_ends_with_its_client(server: Live, slow: bytes) -> None:
    before = len(server.program.output)
    async with server.connection() as connection:
        await connection.say(slow + GET * 3)
        await connection.heard(b"text/event-stream")
    output = await _logged(server, "/events", after=before)
    assert "RuntimeError" not in output


async def test_a_stop_does_not_wait_for_thousands_of_pipelined_requests(
    serving: Callable[..., Live],
) -> None:
    live = serving()
    async with live.connection() as connection:
        await connection.say(GET * 30_000)
        await connection.heard(OK)
        live.program.process.terminate()
        assert await asyncio.to_thread(live.program.process.wait, 10) in {0, -15}
