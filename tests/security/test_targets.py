"""The forms of a request target (RFC 9112, section 3.2), on a real server."""

from collections.abc import Callable

import pytest

from tests.security.conftest import Live


async def status_of(server: Live, request: bytes) -> int:
    async with server.connection() as connection:
        await connection.say(request + b"\r\nConnection: close\r\n\r\n")
        return int((await connection.everything()).split(b" ", 2)[1])


def get(target: str, host: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {host}".encode()


@pytest.fixture(scope="module")
def named(serving: Callable[..., Live]) -> Live:
    return serving(TULOU_TRUSTED_HOSTS="api.example.com")


async def test_an_absolute_target_with_a_foreign_host_is_refused(server: Live, named: Live) -> None:
    for path in ("/health/live", "/errors", ""):
        for target in (f"http://evil.example.com{path}", f"https://evil.example.com:80{path}"):
            assert await status_of(server, get(target, f"127.0.0.1:{server.port}")) == 400, target
            assert await status_of(server, get(target, "evil.example.com")) == 400, target
            assert await status_of(named, get(target, "api.example.com")) == 400, target


async def test_an_absolute_target_with_our_own_host_is_as_good_as_a_path(server: Live, named: Live) -> None:
    assert await status_of(server, get(f"{server.url}/errors", f"127.0.0.1:{server.port}")) == 200
    assert await status_of(server, get(f"{server.url}/v1/files?limit=1", "x")) == 401
    assert await status_of(server, get(f"{server.url}/v1/files?limit=1#x", "x")) == 400
    assert await status_of(named, get("HTTP://API.example.com/errors", "api.example.com")) == 200
    assert await status_of(named, get("http://api.example.com/nothing?q", "api.example.com")) == 404
    assert await status_of(named, get("http://api.example.com", "api.example.com")) == 307
    assert await status_of(named, get("http://api.example.com?q=1", "api.example.com")) == 307


async def test_the_target_wins_over_the_host(named: Live) -> None:
    assert await status_of(named, get("http://api.example.com/errors", "evil.example.com")) == 200


async def test_the_target_takes_the_place_of_no_missing_or_repeated_host(named: Live) -> None:
    assert await status_of(named, b"GET http://api.example.com/errors HTTP/1.1") == 400
    twice = get("http://api.example.com/errors", "api.example.com\r\nHost: api.example.com")
    assert await status_of(named, twice) == 400


@pytest.mark.parametrize(
    "target",
    [
        "http://user@api.example.com/errors",
        "http://user:password@api.example.com/errors",
        "http://api.example.com:99999/errors",
        "http://api.example.com:evil/errors",
        "http:///errors",
        "http:/errors",
        "ftp://api.example.com/errors",
        "javascript://api.example.com/errors",
        "api.example.com:80",
        "*",
        "?q=1",
        "/errors#x",
        "errors",
    ],
)
async def test_a_target_that_is_none_is_refused(target: str, named: Live) -> None:
    assert await status_of(named, get(target, "api.example.com")) == 400


async def test_two_slashes_are_a_path_and_name_no_host(named: Live) -> None:
    assert await status_of(named, get("//evil.example.com/errors", "api.example.com")) == 404
    assert await status_of(named, get("//errors", "api.example.com")) == 404
    assert await status_of(named, get("//v1/users/me", "api.example.com")) == 404


async def test_options_of_the_whole_server_name_its_methods(named: Live) -> None:
    assert await status_of(named, b"OPTIONS * HTTP/1.1\r\nHost: evil.example.com") == 400
    async with named.connection() as connection:
        await connection.say(b"OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n")
        answer = (await connection.everything()).lower()
    assert answer.startswith(b"http/1.1 204 ")
    assert b"allow: get, head, post, put, patch, delete, options\r\n" in answer


async def test_nobody_is_connected_to_another_server(named: Live) -> None:
    for target in ("evil.example.com:80", "api.example.com:80"):
        asked = f"CONNECT {target} HTTP/1.1\r\nHost: {target}".encode()
        assert await status_of(named, asked) == 501


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
async def test_another_version_of_http_is_refused(version: str, server: Live) -> None:
    assert await status_of(server, f"GET /health/live HTTP/{version}\r\nHost: x".encode()) == 400
    assert await status_of(server, b"GET /health/live HTTP/1.0\r\nHost: x") == 200


@pytest.mark.parametrize(
    "head",
    [
        "HEAD * HTTP/1.1\r\nHost: x",
        "HEAD /health/live HTTP/1.1\r\nHost: x\r\nX : a",
        "HEAD /health/live HTTP/2.0\r\nHost: x",
    ],
)
async def test_a_refused_head_has_no_body(head: str, server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(head.encode() + b"\r\n\r\n")
        said, _, body = (await connection.everything()).partition(b"\r\n\r\n")
    assert (said.split()[1], body) == (b"400", b"")
    assert b"application/problem+json" in said
