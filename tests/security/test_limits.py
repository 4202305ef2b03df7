"""Rate limits of a caller, in one process and in several, with Redis and without."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from redis.asyncio import Redis

from bootstrap.api.rate_sync import RateSync
from bootstrap.settings.model import Settings
from shared.http.middleware.access_log import AccessLog
from shared.http.middleware.edge import EdgeMiddleware
from shared.http.middleware.hosts import Hosts
from shared.http.middleware.request_guard import RequestGuard, Rules
from shared.http.middleware.request_recorder import RequestRecorder
from shared.http.problems import ProblemWriter
from shared.http.rate_limits import WINDOW, RateLimited, RateLimits, cost_of, costs, network_of
from tests.security.applications import application, client_of

RATE_LIMIT = re.compile(r'"default";r=(\d+);t=(\d+)')


class HeldClock:
    """A time that stands until it is moved."""

    def __init__(self, now: float = 1_000_000_020.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def limited(settings: Settings, clock: HeldClock | None = None, **changes: object) -> FastAPI:
    """Return an application with a small limit, and a window that doesn't end meanwhile."""
    app = application(settings, **({"rate_limit": 5} | changes))
    app.state.api.rate_limits._now = clock or HeldClock()
    return app


def rate_limit_of(answer: httpx.Response) -> tuple[int, int]:
    """Return how many requests are left, and for how many seconds."""
    match = RATE_LIMIT.fullmatch(answer.headers["RateLimit"])
    assert match, answer.headers["RateLimit"]
    return int(match[1]), int(match[2])


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """A client of its own database, since windows with a held clock are the same for all tests."""
    assert settings.redis_url
    made = Redis.from_url(settings.redis_url.get_secret_value())
    await made.delete(*[key async for key in made.scan_iter("tulou:rate:*")], "nothing")
    yield made
    await made.aclose()


async def test_every_answer_tells_how_the_caller_stands(settings: Settings) -> None:
    async with client_of(limited(settings)) as client:
        answers = [
            await client.get(path) for path in ("/errors", "/nowhere", "/v1/users/me", "/nowhere?x=%00")
        ]
    assert [rate_limit_of(answer) for answer in answers] == [(4, 60), (3, 60), (2, 60), (1, 60)]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=5;w=60'}


async def test_who_asks_too_often_is_told_when_to_come_back(settings: Settings) -> None:
    clock = HeldClock()
    async with client_of(limited(settings, clock)) as client:
        for _ in range(5):
            assert (await client.get("/errors")).status_code == 200
        clock.now += 12.5
        refused = await client.get("/errors")
        assert (refused.status_code, refused.json()["code"]) == (429, "request.rate_limited")
        assert refused.headers["Retry-After"] == "48"
        assert rate_limit_of(refused) == (0, 48)
        assert refused.headers["RateLimit-Policy"] == '"default";q=5;w=60'
        assert refused.headers["X-Content-Type-Options"] == "nosniff"
        clock.now += 47.5
        assert rate_limit_of(await client.get("/errors")) == (4, 60)


async def test_callers_are_counted_apart(settings: Settings, user, other, app) -> None:
    limits = limited(settings)
    async with (
        limits.router.lifespan_context(limits),
        client_of(limits) as one,
        client_of(limits, address="192.0.2.2") as two,
    ):
        for _ in range(5):
            await one.get("/errors")
        assert (await one.get("/errors")).status_code == 429
        assert (await two.get("/errors")).status_code == 200
        for _ in range(5):
            assert (await one.get("/v1/users/me", headers=user.headers)).status_code == 200
        # An account is one caller, wherever it comes from.
        assert (await two.get("/v1/users/me", headers=user.headers)).status_code == 429
        assert (await one.get("/v1/users/me", headers=other.headers)).status_code == 200
        forged = {"Authorization": user.headers["Authorization"][:-4] + "AAAA"}
        assert (await one.get("/v1/users/me", headers=forged)).status_code == 429
        assert (await two.get("/v1/users/me", headers=forged)).status_code == 401


async def test_an_address_from_somebody_untrusted_changes_nothing(settings: Settings) -> None:
    app = limited(settings, trusted_proxies=("10.0.0.1",))
    async with client_of(app) as client:
        answers = [await client.get("/errors", headers={"X-Forwarded-For": f"1.2.3.{n}"}) for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]


async def test_probes_are_not_limited_and_say_nothing_of_limits(settings: Settings) -> None:
    async with client_of(limited(settings)) as client:
        for _ in range(8):
            answer = await client.get("/health/live")
            assert answer.status_code == 200
    assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers)


async def test_without_a_limit_nothing_is_said(settings: Settings) -> None:
    async with client_of(application(settings, rate_limit=0)) as client:
        for _ in range(8):
            answer = await client.get("/errors")
            assert answer.status_code == 200
    assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers)


async def test_limits_that_protect_secrets_tell_in_the_same_way(client: httpx.AsyncClient, user) -> None:
    form = {"grant_type": "password", "username": user.email, "password": "wrong"}
    for _ in range(11):
        answer = await client.post("/v1/auth/token", data=form)
    assert answer.status_code == 429
    seconds = answer.headers["Retry-After"]
    assert f'"login_address";r=0;t={seconds}' in answer.headers["RateLimit"].split(", ")
    assert '"login_address";q=10;w=' in answer.headers["RateLimit-Policy"]
    assert '"default";r=' in answer.headers["RateLimit"]


def test_of_ipv6_the_network_is_counted() -> None:
    assert network_of("2001:db8:1:2:aaaa::1") == network_of("2001:db8:1:2:bbbb::2")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:192.0.2.7") == network_of("192.0.2.7") == "192.0.2.7"
    assert len(network_of("x" * 9999)) < 100
    assert len(network_of(":" * 9999)) < 100


def test_a_hundred_thousand_addresses_are_not_remembered() -> None:
    limits = RateLimits(600, callers=1000, now=HeldClock())
    for number in range(100_000):
        limits.take(number)
        if number % 100 == 0:
            with contextlib.suppress(RateLimited):
                limits.take("busy")
    assert len(limits._used) == len(limits._unsynced) == 1000
    with pytest.raises(RateLimited):
        limits.take("busy")  # who asks again and again isn't forgotten


async def test_an_endpoint_may_count_as_several() -> None:
    router = APIRouter()

    @router.get("/dear")
    @costs(3)
    async def dear() -> str:
        return "done"

    app = FastAPI()
    app.include_router(router)
    rules = Rules(
        max_body=10,
        hosts=Hosts(),
        limits=RateLimits(5, callers=100, now=HeldClock()),
        cost=lambda scope: cost_of(dear) if scope["path"] == "/dear" else 1,
    )
    request_recorder = RequestRecorder(AccessLog("json"))
    app.add_middleware(
        EdgeMiddleware,
        guard=RequestGuard(rules),
        problems=ProblemWriter(public_url=""),
        request_recorder=request_recorder,
    )
    async with client_of(app) as client:
        assert (await client.get("/dear")).status_code == 200
        assert (await client.get("/dear")).status_code == 429
        assert (await client.get("/other")).status_code == 404


async def test_processes_share_a_limit(settings: Settings, redis: Redis) -> None:
    clock = HeldClock()
    first, second = (RateLimits(10, callers=100, now=clock) for _ in range(2))
    exchanges = [RateSync(limits, redis, interval=1, callers=100) for limits in (first, second)]
    for key in ("192.0.2.1", 2**127):
        granted = 0
        for _ in range(20):
            for limits, exchange in zip((first, second), exchanges, strict=True):
                with contextlib.suppress(RateLimited):
                    limits.take(key)
                    granted += 1
                await exchange.sync()
        assert 10 <= granted <= 11, "each may go too far by what it counts between two exchanges"
    assert 0 < await redis.ttl(f"tulou:rate:{int(clock.now // WINDOW)}") <= 2 * WINDOW


async def test_what_was_counted_meanwhile_is_kept(settings: Settings, redis: Redis) -> None:
    limits = RateLimits(10, callers=100, now=HeldClock())
    exchange = RateSync(limits, redis, interval=1, callers=100)
    for _ in range(4):
        limits.take("a")
    settling = asyncio.create_task(exchange.sync())
    await asyncio.sleep(0)
    for _ in range(6):
        limits.take("a")
    await settling
    with pytest.raises(RateLimited):
        limits.take("a")
    await exchange.sync()
    with pytest.raises(RateLimited):
        limits.take("a")


async def test_redis_remembers_a_bounded_number_of_callers(settings: Settings, redis: Redis) -> None:
    clock = HeldClock()
    limits = RateLimits(600, callers=5000, now=clock)
    exchange = RateSync(limits, redis, interval=1, callers=700)
    for number in range(3000):
        limits.take(number)
    await exchange.sync()
    assert 700 <= await redis.hlen(f"tulou:rate:{int(clock.now // WINDOW)}") <= 1200
    limits.take(2999)
    assert limits._used[2999] == 2, "without room in Redis the process counts alone"


async def test_without_redis_each_process_has_the_whole_limit() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    for url in (f"redis://127.0.0.1:{port}/0", "redis://127.0.0.1:9/0"):
        away = Redis.from_url(url, socket_timeout=0.05, socket_connect_timeout=0.05)
        limits = RateLimits(5, callers=100, now=HeldClock())
        exchange = RateSync(limits, away, interval=1, callers=100)
        for _ in range(5):
            limits.take("a")
            await exchange.sync()
        with pytest.raises(RateLimited):
            limits.take("a")
        assert limits.take_unsynced()[1] == {"a": 5}, "what could not be told is told later"
        await away.aclose()
    silent.close()


async def test_an_exchange_that_is_cancelled_loses_no_count() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    away = Redis.from_url(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
    limits = RateLimits(5, callers=100, now=HeldClock())
    limits.take("a")
    settling = asyncio.create_task(RateSync(limits, away, interval=1, callers=100).sync())
    await asyncio.sleep(0.05)
    settling.cancel()
    await asyncio.wait([settling])
    assert settling.cancelled()
    assert limits.take_unsynced()[1] == {"a": 1}
    await away.aclose()
    silent.close()


async def test_a_running_application_settles_by_itself(settings: Settings, redis: Redis) -> None:
    apps = [limited(settings, rate_limit=1000, rate_limit_settle=0.05) for _ in range(2)]
    async with (
        apps[0].router.lifespan_context(apps[0]),
        apps[1].router.lifespan_context(apps[1]),
        client_of(apps[0]) as one,
        client_of(apps[1]) as two,
    ):
        for _ in range(100):
            await one.get("/errors")
        own = 0
        async with asyncio.timeout(20):
            while True:
                own += 1
                left, _ = rate_limit_of(await two.get("/errors"))
                if left <= 1000 - own - 100:
                    break
                await asyncio.sleep(0.05)
