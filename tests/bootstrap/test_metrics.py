"""The metrics that Prometheus reads."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from pydantic import SecretStr

from bootstrap.api.app import create_api
from bootstrap.compose import compose
from bootstrap.observability.metrics import DomainMetrics
from domains.jobs.models import JobState
from domains.jobs.repository.durations import DurationRepository, Ended
from domains.jobs.repository.reports import CrashCount
from domains.jobs.service.measuring import JobMeasures
from domains.jobs.service.operations import Load, QueueStatistics
from shared.db.transaction import require_transaction

TOKEN = "a token for prometheus alone"


class Operations:
    """Answers what a test says."""

    def __init__(self) -> None:
        self.crashed = 0
        self.queues = [QueueStatistics(queue="mail", queued=3, oldest_due_seconds=12.5, workers=2)]

    async def load(self) -> Load:
        return Load(queues=self.queues, failed_by_kind={'a "kind"': 4}, relay_lag_seconds=1.5, relays=2)

    async def crashes(self, since: Any) -> CrashCount:
        return CrashCount(number=self.crashed if since else 0, until=datetime.now(UTC))


class Durations:
    """Answers what a test says."""

    def __init__(self) -> None:
        self.rows: list[Ended] = []

    async def until(self) -> datetime:
        return datetime.now(UTC)

    async def ended(self, *, since: datetime, until: datetime, bounds: Any) -> list[Ended]:
        return self.rows


def samples(text: bytes | str) -> dict[tuple[str, ...], float]:
    plain = text.decode() if isinstance(text, bytes) else text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(plain)
        for sample in family.samples
    }


class Collected(Collector):
    """Some families."""

    def __init__(self, families: Any) -> None:
        self._families = families

    def collect(self) -> Any:
        return self._families


async def found_by(measures: JobMeasures) -> dict[tuple[str, ...], float]:
    return samples(generate_latest(Collected(await DomainMetrics(measures).read())))


@asynccontextmanager
async def api(settings: Any) -> Any:
    app = create_api(settings, compose(settings, "api"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            yield client


async def test_every_number_of_jobs_has_its_metric() -> None:
    assert await found_by(JobMeasures(Operations(), Durations())) == {
        ("tulou_jobs", "mail", "scheduled"): 0,
        ("tulou_jobs", "mail", "queued"): 3,
        ("tulou_jobs", "mail", "running"): 0,
        ("tulou_jobs", "mail", "retrying"): 0,
        ("tulou_jobs_oldest_due_seconds", "mail"): 12.5,
        ("tulou_workers", "mail"): 2,
        ("tulou_jobs_failed", 'a "kind"'): 4,
        ("tulou_relay_lag_seconds",): 1.5,
        ("tulou_relays",): 2,
        ("tulou_jobs_leases_expired_total",): 0,
    }


async def test_durations_of_jobs_add_up() -> None:
    durations = Durations()
    metrics = JobMeasures(Operations(), durations)
    durations.rows = [Ended(kind="mails.send", state=JobState.SUCCEEDED, bucket=1, number=2, seconds=0.14)]
    await metrics.measure()
    durations.rows = [Ended(kind="mails.send", state=JobState.SUCCEEDED, bucket=11, number=1, seconds=400)]
    found = await found_by(metrics)
    name = "tulou_job_duration_seconds"
    below = {
        le: found[f"{name}_bucket", "mails.send", le, "succeeded"] for le in ("0.05", "0.1", "300.0", "+Inf")
    }
    assert below == {"0.05": 0, "0.1": 2, "300.0": 2, "+Inf": 3}
    assert found[f"{name}_count", "mails.send", "succeeded"] == 3
    assert found[f"{name}_sum", "mails.send", "succeeded"] == pytest.approx(400.14)


async def test_expired_leases_only_ever_grow() -> None:
    operations = Operations()
    metrics = JobMeasures(operations, Durations())
    seen = []
    for operations.crashed in (5, 2, 0, 1):
        seen.append((await found_by(metrics))["tulou_jobs_leases_expired_total",])
    assert seen == [0, 2, 2, 3]


async def test_metrics_are_served_for_every_queue_and_hold_nobodys_data(client, user, work_off) -> None:
    await work_off()
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found = samples(answer.text)
    for queue in ("default", "mail", "files"):
        assert ("tulou_jobs", queue, "queued") in found
        assert ("tulou_workers", queue) in found
    assert {name for name, *_ in found} > {
        "tulou_mails",
        "tulou_files_bytes",
        "tulou_build_info",
        "process_resident_memory_bytes",
    }
    assert user.email not in answer.text
    assert str(user.id) not in answer.text


async def test_requests_are_counted_by_route_method_and_class_of_status(settings, app) -> None:
    async with api(settings) as client:
        for _ in range(3):
            await client.get("/v1/files/0199e0d6-0000-7000-8000-000000000000")
        for path in ("/nowhere", "/v1/nothing/here", "/x" * 50):
            await client.get(path)
        await client.request("BREW", "/v1/users/me")
        found = samples((await client.get("/metrics")).text)
    name = "tulou_http_request_duration_seconds_count"
    assert found[name, "GET", "/v1/files/{file_id}", "4xx"] == 3
    assert found[name, "GET", "", "4xx"] == 3
    assert found[name, "OTHER", "/v1/users/me", "4xx"] == 1
    assert found["tulou_http_requests_in_flight",] == 1
    assert found["tulou_http_response_bytes_total", "GET", "/v1/files/{file_id}", "4xx"] > 300


async def test_the_pools_tell_who_waits(settings, app) -> None:
    small = settings.model_copy(update={"database_pool": 1})
    container = compose(small, "api")
    database = container.database()
    await database.start()
    hold = asyncio.Event()

    async def use() -> None:
        async with database.transaction():
            await (await require_transaction().connection()).execute("SELECT 1")
            await hold.wait()

    users = [asyncio.create_task(use()) for _ in range(3)]
    while database.pools()[0].waiting < 2:
        await asyncio.sleep(0.01)
    (usage,) = database.pools()
    assert (usage.size, usage.in_use, usage.waiting) == (1, 1, 2)
    hold.set()
    await asyncio.gather(*users)
    assert [(usage.in_use, usage.waiting) for usage in database.pools()] == [(0, 0)]
    await database.stop()


async def test_metrics_are_no_operation_of_the_api(app) -> None:
    assert "/metrics" not in app.openapi()["paths"]


async def test_without_a_database_a_process_still_tells_of_itself(settings) -> None:
    nowhere = SecretStr("postgresql://nobody:x@127.0.0.1:9/x")
    away = settings.model_copy(update={"database_url": nowhere, "database_timeout": 1})
    async with api(away) as client:
        answer = await client.get("/metrics")
    found = samples(answer.text)
    assert answer.status_code == 200
    assert found["tulou_metrics_up", "jobs"] == found["tulou_metrics_up", "emails"] == 0
    assert ("tulou_jobs", "mail", "queued") not in found
    assert found["tulou_database_connections_limit", "primary"] == settings.database_pool


@pytest.mark.parametrize(
    ("given", "status"),
    [({}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 200)],
)
async def test_with_a_token_only_who_has_it_may_look(given, status: int, settings, app) -> None:
    async with api(settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})) as client:
        assert (await client.get("/metrics", headers=given)).status_code == status


async def test_in_production_nobody_looks_without_a_token(settings, app) -> None:
    changed = {"env": "production", "trusted_hosts": ("127.0.0.1",)}
    async with api(settings.model_copy(update=changed)) as client:
        assert (await client.get("/metrics")).status_code == 404


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_metrics_are_only_read(method: str, client) -> None:
    assert (await client.request(method, "/metrics")).status_code == 405


async def test_ended_jobs_are_counted_with_their_kind(client, user, work_off, composition) -> None:
    durations = DurationRepository(composition.database())
    since = await durations.until()
    await client.post("/v1/auth/password/forgot", json={"email": user.email})
    await work_off()
    async with asyncio.timeout(20):
        while True:
            until = await durations.until()
            rows = await durations.ended(since=since, until=until, bounds=[0.0, 60.0])
            found = {(row.kind, row.state.value): row for row in rows}
            if ("emails.deliver", "succeeded") in found:
                break
            await asyncio.sleep(0.2)
    assert found["emails.deliver", "succeeded"].bucket == 1
