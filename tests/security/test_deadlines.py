"""Clients that send half a request, a head that is too large, or no HTTP, on a real server with short deadlines."""

import asyncio
import json
import resource
import subprocess
from collections.abc import Callable

import httpx
import pytest

from tests.security.conftest import Live
from tools.faults.people import People

HEAD = b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WHOLE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def refused(answer: bytes, status: int, code: str) -> None:
    """Check that an answer is this problem document, with all that every answer has."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} "), answer
    for field in (
        "content-type: application/problem+json",
        "connection: close",
        "x-content-type-options: nosniff",
    ):
        assert field in lines, (field, lines)
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert f"x-request-id: {problem['request_id']}" in lines


async def test_a_half_sent_head_is_given_up(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(HEAD)
        refused(await connection.everything(), 408, "request.timed_out")


async def test_a_head_that_trickles_is_given_up_all_the_same(server: Live) -> None:
    async with server.connection() as connection:

        async def trickle() -> None:
            await connection.say(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            while True:
                await connection.say(b"z")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(trickle())
        refused(await connection.everything(), 408, "request.timed_out")
        task.cancel()


async def test_a_connection_that_says_nothing_is_closed(server: Live) -> None:
    async with server.connection() as silent, server.connection() as empty_lines:
        await empty_lines.say(b"\r\n")
        assert await silent.everything() == b""
        assert await empty_lines.everything() == b""


async def test_empty_lines_after_an_answer_keep_no_connection_open(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(WHOLE)
        await connection.heard(b'{"status":"ok"}')
        await connection.say(b"\r\n")
        assert await connection.everything() == b""


async def test_an_idle_connection_is_closed(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(WHOLE)
        await connection.heard(b'{"status":"ok"}')
        assert await connection.everything() == b""


async def test_a_half_head_after_an_answer_is_given_up(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(WHOLE + b"GET /health/live HTTP/1.1\r\nHo")
        await connection.heard(b'{"status":"ok"}')
        refused(await connection.everything(), 408, "request.timed_out")


@pytest.mark.parametrize(
    "rest", [b'Content-Length: 50\r\n\r\n{"email"', b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"]
)
async def test_a_half_sent_body_is_given_up(rest: bytes, server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(HEAD + rest)
        refused(await connection.everything(), 408, "request.timed_out")


async def test_a_body_that_trickles_is_given_up_all_the_same(server: Live) -> None:
    async with server.connection() as connection:

        async def trickle() -> None:
            await connection.say(HEAD + b"Content-Length: 100000\r\n\r\n")
            while True:
                await connection.say(b" ")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(trickle())
        refused(await connection.everything(), 408, "request.timed_out")
        task.cancel()


async def test_a_slow_body_that_goes_on_is_waited_for(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(HEAD + b"Content-Length: 6000\r\n\r\n")
        for _ in range(12):  # twice as long as the deadline
            await connection.say(b" " * 500)
            await asyncio.sleep(0.15)
        assert (await connection.heard(b"\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello there\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n",
    ],
)
async def test_bytes_that_are_no_http_get_a_problem_document(sent: bytes, server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(sent)
        answer = await connection.everything()
        if b'"request.unknown_method"' not in answer:
            refused(answer, 400, "request.malformed")


async def test_a_method_that_nobody_knows_is_not_implemented(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n")
        refused(await connection.everything(), 501, "request.unknown_method")


@pytest.mark.parametrize(
    "fields",
    [
        b"".join(b"X-%d: y\r\n" % number for number in range(30)),
        b"X-Long: " + b"y" * 5000 + b"\r\n",
        b"X-Longer: " + b"y" * 3_000_000 + b"\r\n",
    ],
)
async def test_a_head_that_is_too_large_is_refused(fields: bytes, server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        refused(await connection.everything(), 431, "request.head_too_large")


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_head_that_never_ends_is_refused_before_its_deadline(patient: Live, *, at_once: bool) -> None:
    lines = [b"X-%d: %b\r\n" % (number, b"y" * 100) for number in range(200)]
    async with patient.connection() as connection:
        await connection.say(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + lines[0] * at_once * 100)
        for line in lines[:0] if at_once else lines:
            await connection.say(line)
        refused(await connection.everything(), 431, "request.head_too_large")


CHUNKED = (
    b"POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (b"1\r\na\r\n0\r\nX: ", b"y"),
        (b"1\r\na\r\n0\r\n", b"y"),
        (b"1\r\na\r\n0\r\n", b"X: y\r\n"),
        (b"1;x=", b"y"),
        (b"", b"0"),
        (b"1\r\na\r\n0;x=", b"y"),
    ],
    ids=["trailer value", "trailer name", "trailers", "chunk extension", "chunk size", "last extension"],
)
@pytest.mark.parametrize("piece", [1000, 1 << 20])
async def test_what_is_neither_head_nor_body_is_refused_when_it_never_ends(
    body: bytes, more: bytes, piece: int, patient: Live
) -> None:
    async with patient.connection() as connection:
        answer = asyncio.create_task(connection.heard(b"}"))  # before a reset can destroy it
        await connection.say(CHUNKED + body)
        await asyncio.sleep(0.05)  # arrives by itself
        for _ in range(max(3, 20_000 // piece)):
            await connection.say(more * (piece // len(more)))
            await asyncio.sleep(0.005)
        refused(await answer, 431, "request.head_too_large")


async def test_small_chunks_and_a_trailer_may_be_more_than_a_head(patient: Live) -> None:
    async with patient.connection() as connection:
        await connection.say(CHUNKED)
        for _ in range(20):
            await connection.say(b"1;note=small\r\na\r\n" * 200)
            await asyncio.sleep(0.005)
        await connection.say(b"0\r\nX-Checksum: abc\r\n\r\n" + WHOLE)
        await connection.heard(b"invalid_token_request")
        await connection.heard(b'{"status":"ok"}')


@pytest.fixture(scope="module")
def patient(serving: Callable[..., Live]) -> Live:
    return serving(TULOU_HEAD_TIMEOUT="600", TULOU_BODY_TIMEOUT="600")


async def test_requests_may_follow_each_other_without_waiting(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(WHOLE * 3)
        for _ in range(3):
            await connection.heard(b'{"status":"ok"}')


async def test_rubbish_after_a_request_takes_nothing_from_its_answer(server: Live) -> None:
    async with server.connection() as connection:
        await connection.say(WHOLE + b"rubbish\r\n\r\n")
        answer = await connection.everything()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1


async def test_a_client_may_ask_before_it_sends_its_body(server: Live) -> None:
    body = b'{"email": "somebody@example.com", "password": "correct horse battery staple"}'
    async with server.connection() as connection:
        await connection.say(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert await connection.heard(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.say(body)
        assert (await connection.heard(b"\r\n")).startswith(b"HTTP/1.1 202 ")


async def test_an_offer_to_speak_something_else_is_passed_over(server: Live) -> None:
    async with server.connection() as connection:
        offer = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        await connection.say(offer)
        assert (await connection.heard(b'{"status":"ok"}')).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_reads_nothing_is_let_go(serving: Callable[..., Live], app, composition) -> None:
    live = serving(TULOU_WRITE_TIMEOUT="0.5")
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        person = await People(client, composition).register()
        file = await client.post(
            "/v1/files",
            content=b"a line of text\n" * 2_000_000,
            headers={**person.headers, "Content-Type": "text/plain"},
        )
        assert file.status_code == 201, file.text
    path = f"/v1/files/{file.json()['id']}/content"
    token = person.headers["Authorization"]
    async with live.connection() as connection:
        await connection.say(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        await connection.heard(b"\r\n\r\n")  # the rest is more than the reader takes in unasked
        async with asyncio.timeout(20):
            while _connections_to(live):
                await asyncio.sleep(0.1)


def _connections_to(live: Live) -> int:
    """Count the connections that the server still holds."""
    import psutil

    held = psutil.Process(live.program.process.pid).net_connections(kind="tcp")
    return sum(1 for each in held if each.status == psutil.CONN_ESTABLISHED and each.laddr.port == live.port)


async def test_five_hundred_half_sent_requests_harm_nobody(serving: Callable[..., Live]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    live = serving(TULOU_HEAD_TIMEOUT="8", TULOU_BODY_TIMEOUT="8", TULOU_KEEP_ALIVE_TIMEOUT="8")
    beginnings = (b"", HEAD, HEAD + b"Content-Length: 50\r\n\r\n{")
    writers = []
    try:
        for number in range(500):
            _, writer = await asyncio.open_connection("127.0.0.1", live.port)
            writer.write(beginnings[number % 3])
            writers.append(writer)
        async with httpx.AsyncClient(base_url=live.url) as client:
            for _ in range(50):
                assert (await client.get("/health/live")).status_code == 200
        async with asyncio.timeout(30):
            while _connections_to(live):
                await asyncio.sleep(0.2)
    finally:
        for writer in writers:
            writer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_half_sent_body_does_not_hold_up_a_stop(serving: Callable[..., Live]) -> None:
    live = serving(TULOU_BODY_TIMEOUT="600", TULOU_HEAD_TIMEOUT="600", TULOU_KEEP_ALIVE_TIMEOUT="600")
    async with live.connection() as body, live.connection() as head, live.connection() as idle:
        await body.say(HEAD + b'Content-Length: 50\r\n\r\n{"email"')
        await head.say(HEAD)
        await idle.say(WHOLE)
        await idle.heard(b'{"status":"ok"}')
        await _arrived(live, 3)
        live.program.process.terminate()
        refused(await body.everything(), 503, "server.stopping")
        try:
            code = await asyncio.to_thread(live.program.process.wait, 4)
        except subprocess.TimeoutExpired:
            pytest.fail(live.program.output)
    assert code in {0, -15}
    assert "Traceback" not in live.program.output


async def _arrived(live: Live, number: int) -> None:
    async with asyncio.timeout(10), httpx.AsyncClient(base_url=live.url) as client:
        while _connections_to(live) < number:
            await asyncio.sleep(0.05)
        await client.get("/health/live")


async def test_a_body_that_goes_on_for_ever_is_given_up(serving: Callable[..., Live]) -> None:
    live = serving(TULOU_BODY_MAX_TIME="2", TULOU_BODY_MIN_BYTES="1")
    async with live.connection() as connection:

        async def trickle() -> None:
            await connection.say(HEAD + b"Content-Length: 100000\r\n\r\n")
            while True:
                await connection.say(b" " * 20)
                await asyncio.sleep(0.05)

        task = asyncio.create_task(trickle())
        refused(await connection.everything(), 408, "request.timed_out")
        task.cancel()
