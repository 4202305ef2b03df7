"""One trace covers the request, the database, the job and the mail."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from redis import Redis
from structlog.testing import capture_logs

from bootstrap.observability.telemetry import recorded
from domains.jobs.gateway.wake_ups import KEY_PREFIX
from domains.jobs.schemas import WakeUpRow
from shared.logging import ACCESS
from shared.trace import add_trace

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CLIENT}-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    with recorded(SimpleSpanProcessor(kept)):
        yield kept


def trace_id(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    found = [span for span in spans.get_finished_spans() if span.name == name]
    assert found, f"no {name} in {sorted({span.name for span in spans.get_finished_spans()})}"
    return found[0]


def ancestors(spans: InMemorySpanExporter, span: ReadableSpan) -> list[str]:
    by_id = {found.context.span_id: found for found in spans.get_finished_spans()}
    names = []
    while span.parent is not None and span.parent.span_id in by_id:
        span = by_id[span.parent.span_id]
        names.append(span.name)
    return names


async def test_one_trace_leads_from_the_request_to_the_mail(client, user, work_off, only_here, spans) -> None:
    await work_off()
    spans.clear()
    answer = await client.post(
        "/v1/auth/password/forgot", json={"email": user.email}, headers={"traceparent": TRACEPARENT}
    )
    assert answer.status_code == 202
    await work_off()

    request = named(spans, "POST /v1/auth/password/forgot")
    assert trace_id(request) == TRACE
    assert f"{request.parent.span_id:016x}" == CLIENT
    assert request.kind == SpanKind.SERVER
    assert request.attributes["http.route"] == "/v1/auth/password/forgot"
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["tulou.request_id"] == answer.headers["X-Request-Id"]

    session = named(spans, "smtp session")
    assert trace_id(session) == TRACE
    assert ancestors(spans, session)[0] == "job emails.deliver"
    assert ancestors(spans, session)[-1] == "POST /v1/auth/password/forgot"

    statements = [span for span in spans.get_finished_spans() if span.kind == SpanKind.CLIENT]
    inserted = [span for span in statements if span.name == "INSERT" and trace_id(span) == TRACE]
    assert any("jobs.jobs" in str(span.attributes) for span in inserted)
    above = {tuple(ancestors(spans, span)[-1:]) for span in inserted}
    assert above == {("POST /v1/auth/password/forgot",)}


async def test_lines_of_requests_and_jobs_name_the_trace(
    client, app, user, work_off, only_here, spans
) -> None:
    await work_off()
    log = logging.getLogger(ACCESS)
    kept = Lines()
    log.addHandler(kept)
    try:
        with capture_logs([add_trace]) as told:
            await client.post("/v1/auth/password/forgot", json={"email": user.email})
            await work_off()
        app.state.api.request_recorder.flush()
    finally:
        log.removeHandler(kept)
    trace = trace_id(named(spans, "POST /v1/auth/password/forgot"))
    assert trace in {
        line.get("trace_id") for line in kept.lines if line["route"] == "/v1/auth/password/forgot"
    }
    sent = [line for line in told if line["event"] == "mail_sent"]
    assert [line["trace_id"] for line in sent] == [trace]


class Lines(logging.Handler):
    """Keeps the lines about requests."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [json.loads(line) for line in record.getMessage().splitlines()]


async def test_the_wake_up_after_a_commit_belongs_to_the_request(client, user, settings, spans) -> None:
    with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        redis.delete(KEY_PREFIX + "default")  # no wake-up is sent to a queue that is full of them
    await client.post(
        "/v1/auth/password/forgot", json={"email": user.email}, headers={"traceparent": TRACEPARENT}
    )
    async with asyncio.timeout(10):
        while not any(span.name == "wake-up default" for span in spans.get_finished_spans()):
            await asyncio.sleep(0.02)
    assert ancestors(spans, named(spans, "wake-up default")) == ["POST /v1/auth/password/forgot"]


async def test_what_the_relay_sends_belongs_to_the_request(spans, composition, monkeypatch) -> None:
    marked = WakeUpRow(id=uuid4(), queue="mail", traceparent=TRACEPARENT)
    forgotten = WakeUpRow(id=uuid4(), queue="mail")
    relay = composition.jobs.relay()

    async def take(queue: str, **_named: object) -> list[WakeUpRow]:
        return [marked, forgotten] if queue == "mail" else []

    monkeypatch.setattr(relay.rows, "mark_wake_ups", take)
    monkeypatch.setattr(relay.wake_ups, "waiting", lambda _queue: 0)
    monkeypatch.setattr(relay.wake_ups, "send", lambda _queue, _jobs: None)
    await relay.send_wake_ups()
    (wake_up,) = [span for span in spans.get_finished_spans() if span.name == "wake-up mail"]
    assert trace_id(wake_up) == TRACE
    assert wake_up.attributes["tulou.job.id"] == str(marked.id)


async def test_a_file_is_traced_into_the_store_and_out_of_it(client, user, work_off, spans) -> None:
    files = {"file": ("notes.txt", b"seen on the way", "text/plain")}
    headers = {**user.headers, "traceparent": TRACEPARENT}
    file = (await client.post("/v1/files", files=files, headers=headers)).json()
    await client.get(f"/v1/files/{file['id']}/content", headers=headers)
    assert ancestors(spans, named(spans, "store put")) == ["POST /v1/files"]
    assert ancestors(spans, named(spans, "store get"))[-1] == "GET /v1/files/{file_id}/content"


async def test_spans_tell_no_secret(client, user, spans) -> None:
    await client.get("/reset-password?token=not-a-real-token-but-long-enough")
    form = {"grant_type": "password", "username": user.email, "password": user.password}
    await client.post("/v1/auth/token", data=form)
    await client.get("/v1/users/me", headers=user.headers)
    told = " ".join(span.to_json() for span in spans.get_finished_spans())
    assert "/v1/users/me" in told
    for secret in ("not-a-real-token", user.password, user.access_token, user.email):
        assert secret not in told


async def test_a_failed_job_is_a_failed_span(client, user, work_off, only_here, spans) -> None:
    await work_off()
    files = {"file": ("broken.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "image/png")}
    await client.post("/v1/files", files=files, headers=user.headers)
    await work_off()
    job = named(spans, "job files.process")
    assert job.kind == SpanKind.CONSUMER
    assert (job.status.status_code, job.attributes["error.type"]) == (
        StatusCode.ERROR,
        "files.broken_document",
    )


async def test_probes_and_what_no_request_asked_for_are_no_traces(client, composition, spans) -> None:
    await client.get("/health/live")
    await client.get("/health/ready")
    await composition.jobs.relay().recover()
    assert [span.name for span in spans.get_finished_spans()] == []


async def test_a_share_of_traces_is_kept_whole(client, user, work_off) -> None:
    kept = InMemorySpanExporter()
    with recorded(SimpleSpanProcessor(kept), sample=0.5):
        for number in range(16):
            trace = f"{1:016x}{number * 0x1111_1111_1111_1111:016x}"
            headers = {**user.headers, "traceparent": f"00-{trace}-{CLIENT}-01"}
            await client.get("/v1/users/me", headers=headers)
    by_trace: dict[str, set[str]] = {}
    for span in kept.get_finished_spans():
        by_trace.setdefault(trace_id(span), set()).add(span.name)
    assert 0 < len(by_trace) < 16
    assert all(names == {"GET /v1/users/me", "SELECT"} for names in by_trace.values())


def test_without_the_setting_nothing_is_imported() -> None:
    program = """
import sys
from bootstrap.api.app import create_api
heavy = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.instrumentation", "sentry_sdk")
print([name for name in sys.modules if name.startswith(heavy)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
