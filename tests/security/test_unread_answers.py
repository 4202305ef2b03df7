"""Clients that read nothing of their responses, on a real server: none keeps its connection for long."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import psutil
import pytest

from bootstrap.api.protocol.unread_responses import UnreadResponses
from bootstrap.api.protocol.write_timeouts import StallTimer
from tests.security.conftest import Live

MISSING = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
AMOUNTS = range(120, 320, 10)
"""Requests: with some of these, the kernel holds a part of the answers and the process less than 64 KiB."""

ALLOWED = 4


@contextlib.asynccontextmanager
async def stalled(
    live: Live, amounts: range, *, asked: bytes = MISSING, pause: float = 0
) -> AsyncIterator[None]:
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
                    await loop.sock_sendall(client, asked * amount)
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


LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("limit", ["TULOU_MAX_UNREAD_BYTES", "TULOU_MAX_UNREAD_BYTES_PER_ADDRESS"])
async def test_large_answers_that_are_not_read_are_limited(limit: str, serving: Callable[..., Live]) -> None:
    live = serving(
        TULOU_WRITE_TIMEOUT="600",
        TULOU_RATE_LIMIT="0",
        TULOU_TRUSTED_PROXIES="127.0.0.9",
        **{limit: "1000000"},
    )
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(stalled(live, range(1, 2), asked=LARGE))
        async with asyncio.timeout(12):
            while live.program.output.count('"route": "/openapi.json"') < 20:
                await asyncio.sleep(0.1)
        await _until_at_most(1 + 1_000_000 // 200_000, live)
        assert held(live) >= 1


def test_an_address_with_one_unread_answer_keeps_it() -> None:
    closed: list[str] = []
    unread = UnreadResponses(most=250, per_address=100, is_proxy={"10.0.0.1"}.__contains__)

    class SlowClient:
        def __init__(self, name: str) -> None:
            self.name = name

        def abort(self) -> None:
            closed.append(self.name)

    first, second = SlowClient("first"), SlowClient("second")
    unread.add(first, "192.0.2.1", 200)
    assert closed == []
    unread.add(second, "192.0.2.1", 90)
    assert closed == ["first"]
    for name in ("third", "fourth"):
        unread.add(SlowClient(name), "10.0.0.1", 70)
    assert closed == ["first"]
    unread.add(SlowClient("fifth"), "192.0.2.2", 80)  # 310 of all
    assert closed == ["first", "third"]
    unread.remove(second, "192.0.2.1")
    unread.add(SlowClient("sixth"), "2001:db8::1", 60)
    unread.add(SlowClient("seventh"), "2001:db8::2", 60)  # of the same /64
    assert closed == ["first", "third", "sixth"]


def test_a_client_that_takes_in_nothing_of_any_number_of_bytes_is_noticed() -> None:
    unread = StallTimer()
    assert [unread.seconds(1, now) for now in (10.0, 16.0, 70.0)] == [0, 6, 60]
    assert unread.seconds(50_000, 71.0) == 61  # more answers are no sign that it reads


def test_a_client_that_takes_in_something_is_waited_for() -> None:
    unread = StallTimer()
    sizes = [60_000, 59_000, 0, 70_000]
    assert [unread.seconds(size, 50.0 * number) for number, size in enumerate(sizes)] == [0, 0, 0, 0]
    unread.reset()  # the buffer was emptied and filled again since
    assert unread.seconds(70_000, 300.0) == 0
