"""Requests that the server itself refuses are in the log and in the metrics, like all others."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.security.conftest import Live

SECRET = b"a-thing-that-nobody-may-read"
HEAD = b"GET /v1/files?token=" + SECRET + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + SECRET + b"\r\n"
REFUSED = [
    pytest.param(b"\x16\x03\x01\x02\x00\x01" + SECRET, "OTHER", 501, id="no HTTP"),
    pytest.param(b"\r\n\r\nGET /" + SECRET + b" SMTP/1.0\r\n\r\n", "GET", 400, id="another protocol"),
    pytest.param(b"BREW /" + SECRET + b" HTTP/1.1\r\nHost: x\r\n\r\n", "OTHER", 501, id="an unknown method"),
    pytest.param(HEAD + b"X-Broken " + SECRET + b"\r\n\r\n", "GET", 400, id="a broken field"),
    pytest.param(HEAD + b"X-Long: " + SECRET * 500 + b"\r\n\r\n", "GET", 431, id="a long head"),
    pytest.param(HEAD, "GET", 408, id="half a head"),
]


async def refusal_of(server: Live, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send these bytes; return status, header fields and body of the answer."""
    async with server.connection() as connection:
        await connection.say(sent)
        head, _, body = (await connection.everything()).partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return int(first.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


async def line_about(server: Live, request_id: str) -> dict[str, object]:
    """Return the one line of the log about a request, which comes a little later."""
    async with asyncio.timeout(5):
        while True:
            lines = [line for line in server.program.output.splitlines() if request_id in line]
            if found := [json.loads(line) for line in lines if '"event": "request"' in line]:
                (line,) = found
                return line
            await asyncio.sleep(0.05)


async def counted(server: Live) -> Counter[tuple[str, str, str]]:
    """Return how many requests were counted, by method, route and class of status."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        text = (await client.get("/metrics")).text
    return Counter(
        {
            (sample.labels["method"], sample.labels["route"], sample.labels["status"]): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "tulou_http_request_duration_seconds_count"
        }
    )


@pytest.mark.parametrize(("sent", "method", "status"), REFUSED)
async def test_a_refusal_is_one_line_and_counted(sent: bytes, method: str, status: int, server: Live) -> None:
    before = await counted(server)
    answered, fields, body = await refusal_of(server, sent)
    assert answered == status
    line = await line_about(server, fields["x-request-id"])
    assert {**line, "seconds": 0, "first_byte": 0, "timestamp": ""} == {
        "event": "request",
        "method": method,
        "route": None,
        "status": status,
        "seconds": 0,
        "first_byte": 0,
        "bytes": len(body),
        "address": "127.0.0.1",
        "request_id": fields["x-request-id"],
        "logger": "access",
        "level": "info",
        "timestamp": "",
    }
    # The deadline for a head is 0.6 s here; the others are refused at once.
    assert (line["seconds"] > 0.5) == (status == 408)
    grown = await counted(server) - before
    assert {key: number for key, number in grown.items() if key[1] != "/metrics"} == {
        (method, "", f"{status // 100}xx"): 1
    }
    assert SECRET.decode() not in server.program.output


async def test_a_request_that_the_application_waits_for_is_told_once_with_what_its_client_saw(
    server: Live,
) -> None:
    before = await counted(server)
    sent = b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    answered, fields, body = await refusal_of(server, sent)
    assert answered == 408
    line = await line_about(server, fields["x-request-id"])
    assert (line["method"], line["status"], line["bytes"]) == ("POST", 408, len(body))
    grown = await counted(server) - before
    told = {key: number for key, number in grown.items() if key[1] != "/metrics"}
    assert sum(told.values()) == 1
    assert {(method, status) for method, _, status in told} == {("POST", "4xx")}


async def test_whom_a_stop_sends_away_is_told_too(serving: Callable[..., Live]) -> None:
    live = serving(TULOU_SHUTDOWN_GRACE="5", TULOU_BODY_TIMEOUT="600")
    async with live.connection() as connection:
        await connection.say(b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        await asyncio.sleep(0.3)
        live.program.process.terminate()
        answer = await connection.everything()
    assert answer.startswith(b"HTTP/1.1 503 ")
    await asyncio.to_thread(live.program.process.wait, 5)
    lines = [line for line in live.program.output.splitlines() if '"event": "request"' in line]
    (line,) = [json.loads(line) for line in lines if "POST" in line]
    assert line["status"] == 503
    assert line["request_id"].encode() in answer
