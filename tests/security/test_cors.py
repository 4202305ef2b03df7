"""Pages of other origins in browsers."""

import httpx
import pytest
from fastapi import FastAPI

from bootstrap.settings import Settings
from tests.security.applications import application, client_of

APP, OTHER = "https://app.example.com", "http://localhost:5173"
ASK = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization, if-match"}
GRANTS = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-credentials",
    "access-control-expose-headers",
]


@pytest.fixture(scope="module")
def opened(settings: Settings) -> FastAPI:
    return application(settings, cors_origins=(APP, OTHER))


@pytest.mark.parametrize("origin", [APP, OTHER, "https://evil.example.com", "null"])
async def test_it_is_closed_by_default(origin: str, client: httpx.AsyncClient) -> None:
    asked = await client.options("/v1/users/me", headers={"Origin": origin, **ASK})
    answer = await client.get("/health/live", headers={"Origin": origin})
    assert asked.status_code == 405
    for each in (asked, answer):
        assert not set(GRANTS) & set(each.headers)


@pytest.mark.parametrize("origin", [APP, OTHER])
async def test_a_known_origin_may_ask_and_call(origin: str, opened: FastAPI) -> None:
    async with client_of(opened) as client:
        asked = await client.options("/v1/users/me", headers={"Origin": origin, **ASK})
        answer = await client.get("/v1/users/me", headers={"Origin": origin})
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == origin
    methods = asked.headers["access-control-allow-methods"].split(", ")
    assert {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} == set(methods)
    allowed = {name.lower() for name in asked.headers["access-control-allow-headers"].split(", ")}
    assert {
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "traceparent",
        "x-request-id",
    } <= allowed
    assert int(asked.headers["access-control-max-age"]) > 0
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == origin
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert {
        "Location",
        "ETag",
        "X-Request-Id",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "Link",
    } <= exposed
    assert "Idempotency-Replayed" in exposed
    for each in (asked, answer):
        assert "Origin" in each.headers["vary"]
        assert "access-control-allow-credentials" not in each.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "null",
        f"{APP}.evil.com",
        f"{APP}:8443",
        "http://app.example.com",
        "https://APP.example.com",
        "*",
        "",
    ],
)
async def test_an_unknown_origin_gets_nothing(origin: str, opened: FastAPI) -> None:
    async with client_of(opened) as client:
        asked = await client.options("/v1/users/me", headers={"Origin": origin, **ASK})
        answer = await client.get("/health/live", headers={"Origin": origin})
    assert asked.status_code == 405
    for each in (asked, answer):
        assert not set(GRANTS) & set(each.headers)
        assert "Origin" in each.headers["vary"]  # so that no cache hands it to another


async def test_without_an_origin_caches_are_told_all_the_same(opened: FastAPI) -> None:
    async with client_of(opened) as client:
        answer = await client.get("/health/live")
    assert "Origin" in answer.headers["vary"]
    assert not set(GRANTS) & set(answer.headers)


async def test_options_that_ask_for_nothing_are_an_unknown_method(opened: FastAPI) -> None:
    async with client_of(opened) as client:
        answer = await client.options("/v1/users/me", headers={"Origin": APP})
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.headers["access-control-allow-origin"] == APP
