"""Requests of pages of other origins in browsers."""

import httpx
import pytest
from fastapi import FastAPI

from bootstrap.settings.model import Settings
from tests.security.applications import application, client_of

APP, OTHER = "https://app.example.com", "http://localhost:5173"
PREVIEWS = "https://*.preview.example.dev"
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
    assert (asked.status_code, asked.json()["code"]) == (403, "request.origin_refused")
    assert "TULOU_CORS_ORIGINS" in asked.json()["detail"]
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
    assert (asked.status_code, asked.json()["code"]) == (403, "request.origin_refused")
    assert "TULOU_CORS_ORIGINS" in asked.json()["detail"]
    for each in (asked, answer):
        assert not set(GRANTS) & set(each.headers)
        assert "Origin" in each.headers["vary"]  # so that no cache hands it to another


@pytest.fixture(scope="module")
def wide(settings: Settings) -> FastAPI:
    origins = (
        PREVIEWS,
        "http://*.dev.localhost:3000",
        "capacitor://localhost",
        "tauri://localhost",
        "ionic://app",
    )
    return application(settings, cors_origins=origins, cors_headers=("X-Client-Version",))


@pytest.mark.parametrize(
    "origin",
    [
        "https://pr-17.preview.example.dev",
        "https://a.preview.example.dev",
        "http://x.dev.localhost:3000",
        "capacitor://localhost",
        "tauri://localhost",
        "ionic://app",
    ],
)
async def test_hosts_of_previews_and_apps_may_ask_and_call(origin: str, wide: FastAPI) -> None:
    async with client_of(wide) as client:
        asked = await client.options("/v1/users/me", headers={"Origin": origin, **ASK})
        answer = await client.get("/v1/users/me", headers={"Origin": origin})
    assert asked.status_code == 204
    for each in (asked, answer):
        assert each.headers["access-control-allow-origin"] == origin
        assert "Origin" in each.headers["vary"]
        assert "access-control-allow-credentials" not in each.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://preview.example.dev",
        "https://.preview.example.dev",
        "https://a.b.preview.example.dev",
        "https://-.preview.example.dev",
        "https://a/.preview.example.dev",
        "https://a@.preview.example.dev",
        "https://evil.com#.preview.example.dev",
        "https://a.preview.example.dev:8443",
        "https://a.preview.example.dev.evil.com",
        "https://a.previewxexample.dev",
        "https://a.preview.example.dev\n",
        "http://a.preview.example.dev",
        "https://*.preview.example.dev",
        f"https://{'a' * 64}.preview.example.dev",
        "capacitor://localhost:1",
        "capacitor://evil",
        "app://localhost",
    ],
)
async def test_a_pattern_is_one_label_and_no_more(origin: str, wide: FastAPI) -> None:
    async with client_of(wide) as client:
        asked = await client.options("/v1/users/me", headers={"Origin": origin, **ASK})
        answer = await client.get("/health/live", headers={"Origin": origin})
    assert (asked.status_code, asked.json()["code"]) == (403, "request.origin_refused")
    for each in (asked, answer):
        assert not set(GRANTS) & set(each.headers)


async def test_other_headers_may_be_sent_when_a_setting_names_them(wide: FastAPI, opened: FastAPI) -> None:
    ask = {**ASK, "Access-Control-Request-Headers": "authorization,x-client-version"}
    async with client_of(wide) as client:
        granted = await client.options("/v1/users/me", headers={"Origin": "capacitor://localhost", **ask})
    async with client_of(opened) as client:
        refused = await client.options("/v1/users/me", headers={"Origin": APP, **ask})
    assert granted.status_code == 204
    assert "X-Client-Version" in granted.headers["access-control-allow-headers"].split(", ")
    assert (refused.status_code, refused.json()["code"]) == (403, "request.header_refused")
    assert "TULOU_CORS_HEADERS" in refused.json()["detail"]


async def test_the_log_tells_once_which_setting_refuses(settings: Settings, caplog) -> None:
    async with client_of(application(settings, cors_origins=(APP,))) as client:
        for _ in range(3):
            await client.options("/v1/users/me", headers={"Origin": "https://new.example.com", **ASK})
    told = [record.getMessage() for record in caplog.records if "cross_origin_refused" in record.getMessage()]
    assert len(told) == 1
    assert "https://new.example.com" in told[0]
    assert "TULOU_CORS_ORIGINS" in told[0]


async def test_invented_origins_do_not_silence_the_log(settings: Settings, caplog) -> None:
    async with client_of(application(settings, cors_origins=(APP,))) as client:
        for number in range(101):
            headers = {"Origin": f"https://invented-{number}.example.com", **ASK}
            await client.options("/v1/users/me", headers=headers)
    told = [record.getMessage() for record in caplog.records if "cross_origin_refused" in record.getMessage()]
    assert "https://invented-100.example.com" in told[-1]


async def test_names_of_protocols_that_are_not_spoken_are_not_told(opened: FastAPI) -> None:
    async with client_of(opened) as client:
        asked = await client.options("/v1/files", headers={"Origin": APP, **ASK})
        answer = await client.get("/health/live", headers={"Origin": APP})
    told = asked.headers["access-control-allow-headers"] + answer.headers["access-control-expose-headers"]
    assert "tus" not in told.lower()
    assert "upload-" not in told.lower()


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
