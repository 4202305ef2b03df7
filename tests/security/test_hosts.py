"""Host headers, and client addresses that proxies forward."""

import httpx
import pytest
from fastapi import FastAPI, Request

from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings, SettingsError
from tests.security.applications import application, client_of


@pytest.fixture(scope="module")
def named(settings: Settings) -> FastAPI:
    """The application, as it answers to two names behind two proxies."""
    app = application(
        settings,
        trusted_hosts=("api.example.com", "[2001:db8::1]"),
        trusted_proxies=("192.0.2.1", "10.0.0.0/8"),
    )

    @app.get("/who")
    async def who(request: Request) -> dict[str, str]:
        assert request.client
        return {
            "address": request.client.host,
            "scheme": request.url.scheme,
            "host": request.url.hostname or "",
        }

    return app


@pytest.mark.parametrize(
    "host",
    ["api.example.com", "API.example.com", "api.example.com:8443", "[2001:db8::1]", "[2001:DB8::1]:80"],
)
async def test_known_names_are_answered(host: str, named: FastAPI) -> None:
    async with client_of(named) as client:
        assert (await client.get("/who", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "api.example.com.evil.com",
        "xapi.example.com",
        "api.example.com/abc?bar=",
        "api.example.com/v1/users/me?",
        "api.example.com#",
        "api.example.com@evil.com",
        "evil@api.example.com",
        "api.example.com:evil",
        "api.example.com:",
        "api.example.com, evil.com",
        "api.example.com\\",
        "127.0.0.1",
        "",
        "a" * 300,
        " ",
    ],
)
async def test_every_other_name_is_refused(host: str, named: FastAPI) -> None:
    async with client_of(named) as client:
        answer = await client.get("/who", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (400, "request.unknown_host")
    assert answer.json()["instance"] == "/who"


async def test_two_names_are_none(named: FastAPI) -> None:
    async with client_of(named) as client:
        twice = [("Host", "api.example.com")] * 2
        assert (await client.get("/who", headers=twice)).status_code == 400


async def test_probes_may_ask_by_address(named: FastAPI) -> None:
    async with client_of(named) as client:
        assert (await client.get("/health/live", headers={"Host": "10.1.2.3:8000"})).status_code == 200
        assert (await client.get("/health/live", headers={"Host": "x/abc?bar="})).status_code == 400


@pytest.mark.parametrize("host", ["x/abc?bar=", "a b", "x#", "[::1", "-"])
async def test_what_is_no_name_is_refused_even_where_any_is_accepted(
    host: str, client: httpx.AsyncClient
) -> None:
    answer = await client.get("/v1/users/me", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (400, "request.unknown_host")


async def test_in_production_the_public_name_is_the_only_one(settings: Settings) -> None:
    changes = {"env": "production", "public_url": "https://api.example.com:8443/"}
    async with client_of(application(settings, **changes)) as client:
        known = await client.get("/v1/users/me", headers={"Host": "api.example.com"})
        unknown = await client.get("/v1/users/me")
    assert (known.status_code, unknown.status_code) == (401, 400)


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["1.2.3.4, 203.0.113.7"], "203.0.113.7"),
        (["1.2.3.4, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        (["1.2.3.4", "203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        (["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
    ],
)
async def test_the_last_address_that_is_no_proxy_is_the_client(
    forwarded, address: str, named: FastAPI
) -> None:
    headers = [("Host", "api.example.com"), *[("X-Forwarded-For", value) for value in forwarded]]
    async with client_of(named) as client:
        assert (await client.get("/who", headers=headers)).json()["address"] == address


async def test_only_a_proxy_is_believed(named: FastAPI) -> None:
    headers = {"Host": "api.example.com", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"}
    async with client_of(named, address="203.0.113.7") as client:
        told = (await client.get("/who", headers=headers)).json()
    assert (told["address"], told["scheme"]) == ("203.0.113.7", "http")
    async with client_of(named) as client:
        told = (await client.get("/who", headers={**headers, "X-Forwarded-Proto": "https"})).json()
        odd = (await client.get("/who", headers={**headers, "X-Forwarded-Proto": "gopher"})).json()
    assert (told["scheme"], odd["scheme"]) == ("https", "http")


async def test_nobody_is_believed_about_the_name(named: FastAPI) -> None:
    headers = {
        "Host": "api.example.com",
        "X-Forwarded-Host": "evil.example.com",
        "Forwarded": "host=evil.com",
    }
    async with client_of(named) as client:
        assert (await client.get("/who", headers=headers)).json()["host"] == "api.example.com"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TULOU_TRUSTED_HOSTS", "https://api.example.com"),
        ("TULOU_TRUSTED_HOSTS", "api.example.com:80"),
        ("TULOU_TRUSTED_HOSTS", "*"),
        ("TULOU_CORS_ORIGINS", "*"),
        ("TULOU_CORS_ORIGINS", "app.example.com"),
        ("TULOU_CORS_ORIGINS", "https://app.example.com/"),
        ("TULOU_CORS_ORIGINS", "null"),
        ("TULOU_CORS_ORIGINS", "https://*"),
        ("TULOU_CORS_ORIGINS", "https://*.com"),
        ("TULOU_CORS_ORIGINS", "https://a.*.example.com"),
        ("TULOU_CORS_ORIGINS", "https://pr-*.example.com"),
        ("TULOU_CORS_ORIGINS", "https://*.*.example.com"),
        ("TULOU_CORS_ORIGINS", "*://localhost"),
        ("TULOU_CORS_ORIGINS", "capacitor://"),
        ("TULOU_CORS_ORIGINS", "file:///"),
        ("TULOU_CORS_HEADERS", "*"),
        ("TULOU_CORS_HEADERS", "X Client"),
    ],
)
def test_names_and_origins_are_exact(name: str, value: str, settings: Settings, monkeypatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()
