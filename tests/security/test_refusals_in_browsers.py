"""Pages of allowed origins can read errors that the server sends before the application has the request."""

from collections.abc import Callable

import pytest

from tests.security.conftest import Connection, Live

APP = b"https://app.example.com"
HEAD = (
    b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nOrigin: "
    + APP
    + b"\r\nContent-Type: application/json\r\n"
)


@pytest.fixture(scope="module")
def opened(serving: Callable[..., Live]) -> Live:
    return serving(TULOU_CORS_ORIGINS=APP.decode())


async def check(connection: Connection, status: bytes) -> None:
    head = (await connection.everything()).partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert head[0].startswith(b"http/1.1 " + status)
    assert b"access-control-allow-origin: " + APP in head
    assert any(line.startswith(b"access-control-expose-headers: ") for line in head)
    assert b"vary: origin" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"content-type: application/problem+json" in head


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (b"431", HEAD + b"X-Long: " + b"x" * 5000 + b"\r\n\r\n"),
        (b"431", HEAD + b"X: x\r\n" * 50 + b"\r\n"),
        (b"400", HEAD + b"Bad Name: x\r\n\r\n"),
        (b"400", HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        (b"400", HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (b"408", HEAD),
        (b"408", HEAD + b"Content-Length: 100\r\n\r\n{"),
        (b"413", HEAD + b"Content-Length: 99999999\r\n\r\n{"),
        (b"415", HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n{"),
        (b"501", HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ],
)
async def test_a_refusal_carries_what_a_page_needs(status: bytes, sent: bytes, opened: Live) -> None:
    async with opened.connection() as connection:
        await connection.say(sent)
        await check(connection, status)


async def test_a_server_that_ends_says_so_to_pages_too(serving: Callable[..., Live]) -> None:
    ending = serving(TULOU_CORS_ORIGINS=APP.decode(), TULOU_BODY_TIMEOUT="30")
    async with ending.connection() as connection:
        await connection.say(HEAD + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
        await connection.heard(b"100 Continue\r\n\r\n")
        await connection.say(b"{")
        ending.program.ask_to_stop()
        await check(connection, b"503")


async def test_an_origin_that_is_not_named_reads_nothing(opened: Live) -> None:
    async with opened.connection() as connection:
        await connection.say(HEAD.replace(APP, b"https://evil.example.com") + b"X: x\r\n" * 50 + b"\r\n")
        answer = (await connection.everything()).lower()
    assert answer.startswith(b"http/1.1 431")
    assert b"access-control" not in answer
    assert b"vary: origin" in answer
