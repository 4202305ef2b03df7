"""Health checks, as load balancers and people read them."""

import asyncio

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from bootstrap.api.app import create_api
from bootstrap.compose import compose
from bootstrap.container import domains_of
from bootstrap.observability.readiness import Readiness, State
from bootstrap.settings.model import Settings
from shared.errors import Outage

NOWHERE = "127.0.0.1:9"


async def ask(settings: Settings, path: str) -> httpx.Response:
    app = create_api(settings, compose(settings, "api"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)


async def test_everything_is_there(settings: Settings, app) -> None:
    answer = await ask(settings, "/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {"database": "ok", "store": "ok", "redis": "ok", "mail": "ok"},
        "domains": list(domains_of(app.state.api.container)),
    }


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"redis_url": SecretStr(f"redis://{NOWHERE}/0")}, "redis"),
        ({"emails_smtp_url": SecretStr(f"smtp://{NOWHERE}")}, "mail"),
    ],
)
async def test_what_only_delays_work_degrades(change, missing: str, settings: Settings) -> None:
    answer = await ask(settings.model_copy(update=change), "/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"][missing] == "down"


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (
            {"database_url": SecretStr(f"postgresql://nobody:x@{NOWHERE}/x"), "database_timeout": 1},
            "database",
        ),
        ({"files_store_url": "s3://nowhere/x?"}, "store"),
    ],
)
async def test_without_the_database_or_the_store_nothing_can_be_served(
    change, missing: str, settings: Settings, monkeypatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", f"http://{NOWHERE}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    changed = settings.model_copy(update=change)
    answer = await ask(changed, "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["checks"][missing] == "down"
    assert (await ask(changed, "/health/live")).status_code == 200


async def test_a_request_without_a_database_gets_503_and_when_to_come_back(settings: Settings) -> None:
    away = settings.model_copy(
        update={"database_url": SecretStr(f"postgresql://nobody:x@{NOWHERE}/x"), "database_timeout": 1}
    )
    app = create_api(away, compose(away, "api"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            form = {"grant_type": "password", "username": "a@example.com", "password": "long enough 1"}
            answer = await client.post("/v1/auth/token", data=form)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "2"


async def test_without_the_folder_of_the_store_nothing_can_be_served(settings: Settings, tmp_path) -> None:
    folder = tmp_path / "files"
    changed = settings.model_copy(update={"files_store_url": f"file://{folder}"})
    app = create_api(changed, compose(changed, "api"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            assert (await client.get("/health/ready")).status_code == 200
            folder.rename(tmp_path / "elsewhere")
            app.state.api.readiness = Readiness(app.state.api.container, app.state.api.redis)
            answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["store"] == "down"


async def test_any_number_of_probes_asks_once(settings: Settings, app, monkeypatch) -> None:
    asked = []

    async def count(_request: object) -> State:
        asked.append(1)
        await asyncio.sleep(0)
        return State.OK

    monkeypatch.setattr("bootstrap.observability.readiness.VITAL", {"database": count})
    monkeypatch.setattr("bootstrap.observability.readiness.USEFUL", {})
    readiness = Readiness(app.state.api.container, app.state.api.redis)
    answers = await asyncio.gather(*(readiness.checks() for _ in range(50)))
    assert len(asked) == 1
    assert answers == [{"database": "ok"}] * 50
    monkeypatch.setattr(readiness, "_fresh_until", 0)
    await readiness.checks()
    assert len(asked) == 2


async def test_an_error_that_nobody_foresaw_is_no_answer(settings: Settings, app, monkeypatch) -> None:
    async def fail(_database: object) -> None:
        raise asyncpg.InternalServerError("could not read block 3 in file")

    monkeypatch.setattr("bootstrap.observability.readiness.condition", fail)
    answer = await ask(settings, "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "down", "store": "ok", "redis": "ok", "mail": "ok"}


def test_readiness_has_a_name_for_each_outage() -> None:
    assert {*State} == {State.OK, *map(State, Outage)}
