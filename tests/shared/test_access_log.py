"""The access log's lines."""

import asyncio
import json
import logging
import time

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from shared.http.middleware.access_log import AccessLog
from shared.http.middleware.edge import EdgeMiddleware
from shared.http.middleware.hosts import Hosts
from shared.http.middleware.request_guard import RequestGuard, Rules
from shared.http.middleware.request_recorder import FLUSH_INTERVAL, MAX_PENDING, RequestRecorder
from shared.http.problems import ProblemWriter
from shared.logging import ACCESS


@pytest.fixture
async def blocks():
    """The blocks of lines of this test, the log at its least quiet."""
    await asyncio.sleep(FLUSH_INTERVAL * 1.5)  # what other applications have noted is written by then

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append([json.loads(line) for line in record.getMessage().splitlines()])

    found: list[list[dict[str, object]]] = []
    log = logging.getLogger(ACCESS)
    level, kept = log.level, Kept()
    log.addHandler(kept)
    log.setLevel(logging.DEBUG)
    yield found
    log.removeHandler(kept)
    log.setLevel(level)


@pytest.fixture
def lines(app, blocks):
    """What returns the lines so far."""
    app.state.api.request_recorder.flush()
    blocks.clear()

    def so_far() -> list[dict[str, object]]:
        app.state.api.request_recorder.flush()
        return [line for block in blocks for line in block]

    return so_far


def with_edge_middleware(app, request_recorder: RequestRecorder) -> httpx.AsyncClient:
    guard = RequestGuard(Rules(max_body=10, hosts=Hosts()))
    middleware = EdgeMiddleware(
        app, guard=guard, problems=ProblemWriter(public_url=""), request_recorder=request_recorder
    )
    transport = httpx.ASGITransport(middleware, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize(
    ("given", "trace_id"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", "a" * 32),
        (f"00-{'0' * 32}-{'b' * 16}-01", None),  # invalid: W3C Trace Context, 3.2.2.3
        ("00-short-01", None),
        (None, None),
    ],
)
async def test_a_line_names_the_trace_that_the_client_gave(client, lines, given, trace_id) -> None:
    await client.get("/v1/files", headers={} if given is None else {"traceparent": given})
    (line,) = lines()
    assert line.get("trace_id") == trace_id
    assert ("trace_id" in line) == (trace_id is not None)


async def test_a_request_is_one_line(client, user, lines) -> None:
    answer = await client.get("/v1/jobs?kind=never.logged", headers=user.headers)
    (line,) = lines()
    assert line == {
        "event": "request",
        "method": "GET",
        "route": "/v1/jobs",
        "status": 200,
        "seconds": line["seconds"],
        "first_byte": line["first_byte"],
        "bytes": len(answer.content),
        "caller": str(user.id),
        "address": client.headers["X-Forwarded-For"],
        "request_id": answer.headers["X-Request-Id"],
        "logger": "access",
        "level": "info",
        "timestamp": line["timestamp"],
    }
    assert 0 < line["first_byte"] <= line["seconds"]


async def test_what_never_reaches_a_route_is_a_line_too(client, lines) -> None:
    await client.get("/nowhere/at/all")
    await client.get("/v1/users/me?bad=%00")
    await client.request("BREW", "/v1/users/me")
    assert [(line["method"], line["route"], line["status"]) for line in lines()] == [
        ("GET", None, 404),
        ("GET", None, 400),
        ("OTHER", "/v1/users/me", 405),
    ]


async def test_a_path_with_something_in_it_is_told_by_its_template(client, user, lines) -> None:
    await client.get("/v1/files/0199e0d6-0000-7000-8000-000000000000/content", headers=user.headers)
    assert lines()[0]["route"] == "/v1/files/{file_id}/content"


async def test_probes_are_for_debugging(client, lines) -> None:
    await client.get("/health/live")
    await client.get("/metrics")
    assert [line["level"] for line in lines()] == ["debug", "debug"]
    logging.getLogger(ACCESS).setLevel(logging.INFO)
    await client.get("/health/live")
    assert len(lines()) == 2


@pytest.mark.parametrize(("raises", "status"), [(True, 500), (False, 499)])
async def test_a_request_without_an_answer_is_a_line(raises: bool, status: int, blocks) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        if raises:
            raise ConnectionError

    request_recorder = RequestRecorder(AccessLog("json"))
    async with with_edge_middleware(app, request_recorder) as client:
        try:
            await client.get("/")
        except AssertionError:
            assert not raises
    assert [times.status for times in request_recorder.times()] == [f"{status // 100}xx"]
    assert [line["status"] for block in blocks for line in block] == [status]
    assert request_recorder.in_flight == 0


async def done(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_lines_are_written_together_soon_and_tell_when_it_was(blocks) -> None:
    async with with_edge_middleware(done, RequestRecorder(AccessLog("json"))) as client:
        for _ in range(3):
            await client.get("/")
        ended = time.time()
        assert blocks == []
        await asyncio.sleep(FLUSH_INTERVAL * 2)
    assert [len(block) for block in blocks] == [3]
    assert blocks[0][-1]["timestamp"].startswith(time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(ended)))


async def test_few_lines_wait(blocks) -> None:
    async with with_edge_middleware(done, RequestRecorder(AccessLog("json"))) as client:
        for _ in range(MAX_PENDING):
            await client.get("/")
    assert sum(len(block) for block in blocks) == MAX_PENDING
