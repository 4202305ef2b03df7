"""Security headers of every response, also of those that no route sends."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from bootstrap.settings.model import Settings
from shared.errors import DatabaseUnavailable
from tests.security.applications import application, client_of

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
STRICT = "strict-transport-security"


@pytest.fixture(scope="module")
def broken(settings: Settings) -> FastAPI:
    """The application, with two routes that fail."""
    app = application(settings, public_url="https://api.example.com")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("no")

    @app.get("/away")
    async def away() -> None:
        raise DatabaseUnavailable

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/health/live", {}, 200),
        ("HEAD", "/health/live", {}, 200),
        ("GET", "/nowhere", {}, 404),
        ("PURGE", "/health/live", {}, 405),
        ("OPTIONS", "/v1/users/me", {}, 405),
        ("GET", "/v1/users/me", {}, 401),
        ("GET", "/nowhere?x=%00", {}, 400),
        ("GET", "/v1/users/me", {"Host": "a b"}, 400),
        ("POST", "/read", {"Content-Length": "9999999"}, 413),
        ("POST", "/read", {"Content-Length": "4", "Content-Encoding": "gzip"}, 415),
        ("GET", "/broken", {}, 500),
        ("GET", "/away", {}, 503),
    ],
)
async def test_every_answer_carries_them(method, path, headers, status: int, broken: FastAPI) -> None:
    async with client_of(broken) as client:
        answer = await client.request(method, path, headers=headers)
    assert answer.status_code == status, answer.text
    for name, value in ALWAYS.items():
        assert answer.headers.get_list(name) == [value], name
    assert answer.headers.get_list(STRICT) == ["max-age=31536000"]
    assert len(answer.headers.get_list("x-request-id")) == 1


async def test_browsers_are_held_to_https_only_where_there_is_https(settings: Settings) -> None:
    for changes in ({}, {"public_url": "https://api.example.com", "hsts_seconds": 0}):
        async with client_of(application(settings, **changes)) as client:
            assert STRICT not in (await client.get("/health/live")).headers


@pytest.mark.parametrize("path", ["/docs", "/errors", "/.well-known/jwks.json"])
async def test_a_route_may_say_something_else_once(path: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    for name in ALWAYS:
        assert len(answer.headers.get_list(name)) == 1, name


async def test_head_says_what_get_says_and_no_more(client: httpx.AsyncClient, user) -> None:
    for path in (
        "/v1/users/me",
        "/health/live",
        "/v1/files",
        "/docs",
        "/openapi.json",
        "/.well-known/jwks.json",
    ):
        got = await client.get(path, headers=user.headers)
        head = await client.head(path, headers=user.headers)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        varying = {"x-request-id", "ratelimit", "date"}
        assert {k: v for k, v in head.headers.items() if k not in varying} == {
            k: v for k, v in got.headers.items() if k not in varying
        }, path


async def test_head_of_what_only_takes_post_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.head("/v1/auth/token")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert "HEAD" in (await client.delete("/health/live")).headers["Allow"].split(", ")


async def test_head_of_an_endless_stream_ends(client: httpx.AsyncClient, user, composition) -> None:
    picture = Path(__file__).parents[1] / "data" / "astronaut.jpg"
    files = {"file": ("astronaut.jpg", picture.read_bytes(), "image/jpeg")}
    file = (await client.post("/v1/files", files=files, headers=user.headers)).json()
    url = httpx.URL(file["jobs"][0]["url"]).path
    answer = await client.head(f"{url}/events", headers=user.headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content == b""


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "deflate"])
@pytest.mark.parametrize("path", ["/v1/auth/register", "/v1/files"])
async def test_a_compressed_body_is_refused(path: str, coding: str, client: httpx.AsyncClient, user) -> None:
    headers = {**user.headers, "Content-Encoding": coding, "Content-Type": "application/json"}
    answer = await client.post(path, content=b"\x1f\x8b\x08", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "request.unsupported_encoding")
    assert answer.headers["Accept-Encoding"] == "identity"


async def test_a_body_that_is_said_to_be_as_it_is_is_read(client: httpx.AsyncClient) -> None:
    headers = {"Content-Encoding": "identity"}
    answer = await client.post("/v1/auth/register", json={}, headers=headers)
    assert answer.status_code == 422


async def test_accept_is_no_reason_to_refuse(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"Accept": "image/png"})
    assert answer.json() == {"status": "ok"}
