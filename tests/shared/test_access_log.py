"""The lines about requests."""

import json
import logging

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from shared.http.access_log import AccessLog
from shared.http.observing import Observed
from shared.http.request_meter import RequestMeter
from shared.logging import ACCESS


@pytest.fixture
def lines():
    """The lines of this test, the log at its least quiet."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(record.getMessage()))

    found: list[dict[str, object]] = []
    log = logging.getLogger(ACCESS)
    level, kept = log.level, Kept()
    log.addHandler(kept)
    log.setLevel(logging.DEBUG)
    yield found
    log.removeHandler(kept)
    log.setLevel(level)


async def test_a_request_is_one_line(client, user, lines) -> None:
    answer = await client.get("/v1/jobs?kind=never.logged", headers=user.headers)
    (line,) = lines
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
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("GET", None, 404),
        ("GET", None, 400),
        ("OTHER", "/v1/users/me", 405),
    ]


async def test_a_path_with_something_in_it_is_told_by_its_template(client, user, lines) -> None:
    await client.get("/v1/files/0199e0d6-0000-7000-8000-000000000000/content", headers=user.headers)
    assert lines[0]["route"] == "/v1/files/{file_id}/content"


async def test_probes_are_for_debugging(client, lines) -> None:
    await client.get("/health/live")
    await client.get("/metrics")
    assert [line["level"] for line in lines] == ["debug", "debug"]
    logging.getLogger(ACCESS).setLevel(logging.INFO)
    await client.get("/health/live")
    assert len(lines) == 2


@pytest.mark.parametrize(("raises", "status"), [(True, 500), (False, 499)])
async def test_a_request_without_an_answer_is_a_line(raises: bool, status: int, lines) -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        if raises:
            raise ConnectionError

    meter = RequestMeter()
    observed = Observed(app, meter=meter, log=AccessLog("json"))
    transport = httpx.ASGITransport(observed, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        try:
            await client.get("/")
        except AssertionError:
            assert not raises
    assert [line["status"] for line in lines] == [status]
    assert [times.status for times in meter.times()] == [f"{status // 100}xx"]
    assert meter.in_flight == 0
