"""Clients that ask and read nothing of the answers, on a real server: none keeps its descriptor for long."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import psutil

from bootstrap.protocol.readers import Unread
from tests.security.conftest import Live

MISSING = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
AMOUNTS = range(120, 320, 10)
"""Requests: with some of these, the kernel holds a part of the answers and the process less than 64 KiB."""

ALLOWED = 4


@contextlib.asynccontextmanager
async def stalled(live: Live, amounts: range, *, pause: float = 0) -> AsyncIterator[None]:
    """Ask so many times on a connection each, and read nothing."""
    loop, opened = asyncio.get_running_loop(), []
    try:
        for amount in amounts:
            client = socket.socket()
            opened.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(2):
                    await loop.sock_connect(client, ("127.0.0.1", live.port))
                    await loop.sock_sendall(client, MISSING * amount)
            await asyncio.sleep(pause)
        yield
    finally:
        for client in opened:
            client.close()


def held(live: Live) -> int:
    """Count the connections that the server has descriptors of."""
    server = psutil.Process(live.program.process.pid)
    return sum(
        1 for each in server.net_connections(kind="tcp") if each.raddr and each.laddr.port == live.port
    )


async def _until_at_most(number: int, live: Live) -> None:
    async with asyncio.timeout(12):
        while held(live) > number:
            await asyncio.sleep(0.1)


async def test_answers_that_are_not_read_keep_no_connection_open(serving: Callable[..., Live]) -> None:
    timeouts = {"TULOU_WRITE_TIMEOUT": "1", "TULOU_KEEP_ALIVE_TIMEOUT": "1"}
    live = serving(**timeouts, TULOU_RATE_LIMIT="0")
    async with stalled(live, AMOUNTS):
        await _until_at_most(0, live)


async def test_a_stalled_connection_that_makes_room_is_really_gone(serving: Callable[..., Live]) -> None:
    timeouts = {"TULOU_WRITE_TIMEOUT": "600", "TULOU_KEEP_ALIVE_TIMEOUT": "600"}
    limits = {
        "TULOU_RATE_LIMIT": "0",
        "TULOU_TRUSTED_PROXIES": "127.0.0.9",
        "TULOU_MAX_CONNECTIONS_PER_ADDRESS": str(ALLOWED),
    }
    live = serving(**timeouts, **limits)
    async with stalled(live, AMOUNTS, pause=0.4):
        await _until_at_most(ALLOWED, live)


def test_a_client_that_takes_in_nothing_of_any_number_of_bytes_is_noticed() -> None:
    unread = Unread()
    assert [unread.seconds(1, now) for now in (10.0, 16.0, 70.0)] == [0, 6, 60]
    assert unread.seconds(50_000, 71.0) == 61  # more answers are no sign that it reads


def test_a_client_that_takes_in_something_is_waited_for() -> None:
    unread = Unread()
    sizes = [60_000, 59_000, 0, 70_000]
    assert [unread.seconds(size, 50.0 * number) for number, size in enumerate(sizes)] == [0, 0, 0, 0]
    unread.reset()  # the buffer was emptied and filled again since
    assert unread.seconds(70_000, 300.0) == 0
