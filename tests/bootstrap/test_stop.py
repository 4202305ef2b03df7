"""An API stops soon after TULOU_SHUTDOWN_GRACE at the latest, whatever it waits for."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.frozen import frozen
from tests.programs import Program, free_port
from tests.security.conftest import Live
from tools.dev.valkey import EmbeddedValkey
from tools.faults.people import People, Person

GRACE = 2.0
A_LITTLE = 3.0
PHOTOGRAPH = (Path(__file__).parents[1] / "data" / "astronaut.jpg").read_bytes()
AS_THE_FIRST_PROCESS = ["sh", "-c", 'trap "" TERM; exec "$0" "$@"']
"""The kernel lets no signal end the first process of a container that it hasn't asked for: it has to end by itself."""


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Redis of one's own."""
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def serving(servers, settings, valkey: EmbeddedValkey) -> Iterator[Callable[..., Live]]:
    """Start an API that soon has to have ended."""
    started: list[Program] = []

    def start(*before: str, **environment: str) -> Live:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        own = {"TULOU_PORT": str(port), "TULOU_PUBLIC_URL": url, "TULOU_SHUTDOWN_GRACE": str(GRACE)}
        program = Program(
            [*before, sys.executable, "-m", "bootstrap.cli.main", "serve"],
            servers.environment | own | {"REDIS_URL": valkey.url} | environment,
        )
        started.append(program)
        program.wait_until_it_answers(f"{url}/health/live")
        return Live(program, port)

    yield start
    for program in started:
        program.stop(seconds=0)


async def seconds_to_stop(live: Live, *, most: float) -> float:
    """Tell it to stop; return after how many seconds it had ended."""
    begun = time.monotonic()
    live.program.process.terminate()
    try:
        await asyncio.to_thread(live.program.process.wait, most)
    except subprocess.TimeoutExpired:
        pytest.fail(f"it goes on after {most} s:\n{live.program.output}")
    return time.monotonic() - begun


def complaints(live: Live) -> list[str]:
    """Return the lines of errors that it has written."""
    return [line for line in live.program.output.splitlines() if '"level": "error"' in line]


@contextlib.asynccontextmanager
async def somebody(live: Live, composition):
    """A client of the API, and who it is."""
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        person: Person = await People(client, composition).register()
        client.headers.update(person.headers)
        yield client


def uploaded(client: httpx.AsyncClient):
    return client.post("/v1/files", content=PHOTOGRAPH, headers={"Content-Type": "image/jpeg"})


async def test_redis_that_is_frozen(serving, valkey: EmbeddedValkey, app, composition) -> None:
    live = serving()
    async with somebody(live, composition) as client:
        with frozen(valkey.url):
            assert (await uploaded(client)).status_code == 201  # whose wake-up waits
            await seconds_to_stop(live, most=GRACE)
    assert complaints(live) == []


async def test_a_database_that_is_frozen(serving, servers, app, composition) -> None:
    live = serving()
    async with somebody(live, composition) as client:
        await asyncio.gather(*(client.get("/v1/users/me") for _ in range(8)))
        with frozen(servers.superuser_url):
            asked = [asyncio.create_task(client.get("/v1/users/me")) for _ in range(4)]
            asked += [asyncio.create_task(uploaded(client)) for _ in range(4)]
            await asyncio.sleep(0.3)
            await seconds_to_stop(live, most=GRACE + A_LITTLE)
            answers = await asyncio.gather(*asked)
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "server.stopping")
        assert answer.headers["Retry-After"] == "1"
    lines = [json.loads(line) for line in live.program.output.splitlines() if '"event": "request"' in line]
    told = {line["request_id"]: line["status"] for line in lines}
    assert {told[answer.headers["X-Request-Id"]] for answer in answers} == {503}
    assert complaints(live) == []


async def test_everything_is_frozen(serving, servers, valkey: EmbeddedValkey, app, composition) -> None:
    with socket.create_server(("127.0.0.1", 0)) as collector:
        url = f"http://127.0.0.1:{collector.getsockname()[1]}"
        live = serving(*AS_THE_FIRST_PROCESS, TULOU_TELEMETRY_URL=url)
        async with somebody(live, composition) as client:
            job = (await uploaded(client)).json()["jobs"][0]["url"]
            async with client.stream("GET", f"{job}/events") as events:
                await anext(events.aiter_lines())
                with frozen(servers.superuser_url, valkey.url):
                    asked = asyncio.create_task(client.get("/v1/users/me"))
                    await asyncio.sleep(0.3)
                    await seconds_to_stop(live, most=GRACE + A_LITTLE)
                    assert (await asked).status_code == 503
    assert live.program.process.returncode == 0, live.program.output


async def test_a_stream_of_events_breaks_off_at_once(serving, app, composition) -> None:
    live = serving(TULOU_SHUTDOWN_GRACE="20")
    async with somebody(live, composition) as client:
        job = (await uploaded(client)).json()["jobs"][0]["url"]
        async with client.stream("GET", f"{job}/events") as events:
            lines = events.aiter_lines()
            while await anext(lines) != "event: job":
                pass
            assert await seconds_to_stop(live, most=20) < 5
            # Not as if the job were over: whoever follows it shall come again.
            with pytest.raises(httpx.RemoteProtocolError):
                [line async for line in lines]
    assert complaints(live) == []


async def test_a_client_that_reads_nothing_is_left(serving, app, composition) -> None:
    live = serving()
    async with somebody(live, composition) as client:
        text = {"Content-Type": "text/plain"}
        file = (await client.post("/v1/files", content=b"a line of text\n" * 2_000_000, headers=text)).json()
        token = client.headers["Authorization"]
    async with live.connection() as connection:
        await connection.say(
            f"GET /v1/files/{file['id']}/content HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
        )
        await connection.heard(b"\r\n\r\n")
        await seconds_to_stop(live, most=GRACE + A_LITTLE)
    assert complaints(live) == []


async def test_an_upload_that_is_half_sent_is_refused(serving, app, composition) -> None:
    live = serving()
    async with somebody(live, composition) as client:
        token = client.headers["Authorization"]
    async with live.connection() as connection:
        await connection.say(
            "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5000000\r\n"
            f"Authorization: {token}\r\n\r\n".encode()
            + b"a line of text\n" * 5000
        )
        await asyncio.sleep(0.3)
        await seconds_to_stop(live, most=GRACE + A_LITTLE)
        assert (await connection.everything()).startswith(b"HTTP/1.1 503 ")
    assert complaints(live) == []


async def test_a_password_that_is_being_hashed(serving) -> None:
    """A thread can't be given up: the process ends with it, and tells where it was."""
    live = serving(
        *AS_THE_FIRST_PROCESS, TULOU_AUTH_HASH_TIME_COST="20", TULOU_AUTH_HASH_MEMORY_KIB="1048576"
    )
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        person = {"email": "somebody@example.com", "password": "correct horse battery staple"}
        asked = asyncio.create_task(client.post("/v1/auth/register", json=person))
        await asyncio.sleep(0.5)
        await seconds_to_stop(live, most=GRACE + 4 + 2)
        assert (await asked).status_code == 503
    assert live.program.process.returncode == 1
    assert "domains/auth/gateway/passwords.py" in live.program.output
    assert person["password"] not in live.program.output


async def test_proxies_are_told_before_requests_are_refused(serving, app, composition) -> None:
    live = serving(TULOU_SHUTDOWN_DELAY="3")
    async with somebody(live, composition) as client:
        assert (await client.get("/health/ready")).status_code == 200
        live.program.process.terminate()
        told = await client.get("/health/ready")
        while told.status_code == 200:  # the signal may still be on its way
            told = await client.get("/health/ready")
        assert (told.status_code, told.json()["status"]) == (503, "unavailable")
        assert (await client.get("/v1/users/me")).status_code == 200
        assert (await client.get("/health/live")).status_code == 200
    await asyncio.to_thread(live.program.process.wait, 30)
    assert complaints(live) == []


async def test_a_second_signal_does_not_wait_for_proxies(serving) -> None:
    live = serving(TULOU_SHUTDOWN_DELAY="300")
    async with httpx.AsyncClient(base_url=live.url) as client:
        live.program.process.terminate()
        while (await client.get("/health/ready")).status_code == 200:
            await asyncio.sleep(0.01)
    await seconds_to_stop(live, most=GRACE + A_LITTLE + 10)
