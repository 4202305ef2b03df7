"""Background work as Prometheus sees it."""

import asyncio
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from bootstrap.api import create_api
from bootstrap.compose import compose
from bootstrap.metrics import JobMetrics
from domains.jobs.repository.reports import CrashCount
from domains.jobs.service.operations import Load, QueueStatistics


class Operations:
    """Answers what a test says, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.crashed = 0
        self.queues = [QueueStatistics(queue="mail", queued=3, oldest_due_seconds=12.5, workers=2)]

    async def load(self) -> Load:
        self.asked += 1
        await asyncio.sleep(0)
        return Load(queues=self.queues, failed_by_kind={'a "kind"': 4}, relay_lag_seconds=1.5)

    async def crashes(self, since: Any) -> CrashCount:
        from datetime import UTC, datetime

        return CrashCount(number=self.crashed if since else 0, until=datetime.now(UTC))


def samples(text: bytes | str) -> dict[tuple[str, ...], float]:
    plain = text.decode() if isinstance(text, bytes) else text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(plain)
        for sample in family.samples
    }


async def test_every_number_has_its_metric() -> None:
    found = samples(await JobMetrics(Operations()).text())
    assert found == {
        ("tulou_jobs", "mail", "scheduled"): 0,
        ("tulou_jobs", "mail", "queued"): 3,
        ("tulou_jobs", "mail", "running"): 0,
        ("tulou_jobs", "mail", "retrying"): 0,
        ("tulou_jobs_oldest_due_seconds", "mail"): 12.5,
        ("tulou_workers", "mail"): 2,
        ("tulou_jobs_failed", 'a "kind"'): 4,
        ("tulou_relay_lag_seconds",): 1.5,
        ("tulou_jobs_leases_expired_total",): 0,
    }


async def test_many_scrapes_ask_the_database_once() -> None:
    operations = Operations()
    metrics = JobMetrics(operations)
    answers = await asyncio.gather(*(metrics.text() for _ in range(20)))
    assert operations.asked == 1
    assert len(set(answers)) == 1


async def test_expired_leases_only_ever_grow() -> None:
    operations = Operations()
    metrics = JobMetrics(operations)
    seen = []
    for operations.crashed in (5, 2, 0, 1):
        metrics._fresh_until = 0
        seen.append(samples(await metrics.text())[("tulou_jobs_leases_expired_total",)])
    assert seen == [0, 2, 2, 3]


async def test_metrics_are_served_for_every_queue_and_hold_nobodys_data(client, user, composition) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found = samples(answer.text)
    for queue in ("default", "mail", "files"):
        assert ("tulou_jobs", queue, "queued") in found
        assert ("tulou_workers", queue) in found
    assert user.email not in answer.text
    assert str(user.id) not in answer.text


async def test_metrics_are_no_operation_of_the_api(app) -> None:
    assert "/metrics" not in app.openapi()["paths"]


async def test_without_a_database_there_are_no_metrics(settings) -> None:
    nowhere = SecretStr("postgresql://nobody:x@127.0.0.1:9/x")
    away = settings.model_copy(update={"database_url": nowhere, "database_timeout": 1})
    app = create_api(away, compose(away, "api"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_metrics_are_only_read(method: str, client) -> None:
    assert (await client.request(method, "/metrics")).status_code == 405
