"""A request that offers another protocol gets an HTTP/1.1 response to the request and its body."""

import asyncio
import json

import psutil
import pytest

from tests.security.conftest import Live

BODY = json.dumps({"email": "nobody", "smuggled": "GET /v1/other HTTP/1.1\r\n\r\n"}).encode()
FORGOT = b"POST /v1/auth/password/forgot HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
OFFERS = [
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
    b"Upgrade: h2c\r\nConnection: keep-alive, Upgrade\r\nExpect: 100-continue\r\n",
]
SIZED = b"Content-Length: %d\r\n\r\n" % len(BODY), BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


async def answers_of(server: Live, *pieces: bytes) -> list[tuple[int, dict[str, object]]]:
    """Send pieces one after the other; return status and document of each final answer."""
    async with server.connection() as connection:
        for piece in pieces:
            await connection.say(piece)
        rest = await connection.everything()
    found = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 100:
            continue
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append((status, json.loads(rest[:length])))
        rest = rest[length:]
    return found


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize(("end", "body"), [SIZED, CHUNKED], ids=["sized", "chunked"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_body_is_read_as_one(
    offer: bytes, end: bytes, body: bytes, at_once: bool, server: Live
) -> None:
    head = (
        b"POST /v1/auth/password/forgot HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        + offer
        + end
    )
    pieces = [head + body + LAST] if at_once else [head, body[:10], body[10:], LAST]
    first, last = await answers_of(server, *pieces)
    assert first[0] == 422
    assert {problem["pointer"] for problem in first[1]["errors"]} == {"#/email", "#/smuggled"}
    assert last[0] == 200


@pytest.mark.parametrize("offer", OFFERS)
async def test_without_a_body_the_next_request_is_the_next(offer: bytes, server: Live) -> None:
    first, last = await answers_of(
        server, b"GET /v1/users/me HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n" + LAST
    )
    assert (first[0], last[0]) == (401, 200)


async def test_no_tunnel_is_opened(server: Live) -> None:
    (refused,) = await answers_of(server, b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n" + LAST)
    assert (refused[0], refused[1]["code"]) == (501, "request.unknown_method")


async def test_an_address_that_is_none_is_malformed(server: Live) -> None:
    (refused,) = await answers_of(server, b"GET http://[x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (refused[0], refused[1]["code"]) == (400, "request.malformed")


async def test_a_coding_besides_chunked_is_not_understood(server: Live) -> None:
    coding = b"Transfer-Encoding: gzip, chunked\r\n\r\n"
    (refused,) = await answers_of(server, FORGOT + coding + CHUNKED[1])
    assert (refused[0], refused[1]["code"]) == (501, "request.unsupported_transfer_coding")


async def test_a_field_with_one_value_comes_once(server: Live) -> None:
    (refused,) = await answers_of(server, FORGOT + b"Content-Type: text/plain\r\n" + SIZED[0] + SIZED[1])
    assert (refused[0], refused[1]["code"]) == (400, "request.repeated_field")


async def test_trailers_are_nobodys_headers(server: Live) -> None:
    end = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    trailers = (
        b"X-Forwarded-For: 192.0.2.99\r\nX-Request-Id: from-the-trailer\r\nContent-Type: text/plain\r\n\r\n"
    )
    first, last = await answers_of(server, FORGOT + end + trailers + LAST)
    assert (first[0], last[0]) == (422, 200)
    assert "192.0.2.99" not in server.program.output
    assert first[1]["request_id"] != "from-the-trailer"


async def test_trailers_without_end_are_too_large_and_fill_nothing(server: Live) -> None:
    process = psutil.Process(server.program.process.pid)
    before = process.memory_info().rss
    async with server.connection() as connection:
        answer = asyncio.create_task(connection.heard(b"\r\n"))  # before a reset can destroy it
        await connection.say(FORGOT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        for _ in range(40):
            await connection.say(b"ab: c\r\n" * 20_000)
        assert b" 431 " in await answer
    assert process.memory_info().rss < before + (20 << 20)
