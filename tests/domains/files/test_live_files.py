"""Files against real processes, for behaviour that only they show."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.programs import Program

DATA = Path(__file__).parents[2] / "data"
MIB = 1 << 20


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


@pytest.fixture(scope="module")
def api(programs, port) -> Program:
    program: Program = programs("serve", TULOU_PORT=str(port))
    _wait_until_alive(program, port)
    return program


def _wait_until_alive(program: Program, port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert program.is_running, program.output
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(program.output)


@pytest.fixture
async def live(api, port) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


async def large(megabytes: int) -> AsyncIterator[bytes]:
    piece = b"0123456789abcde\n" * (MIB // 16)
    for _ in range(megabytes):
        yield piece


async def test_a_500_mb_upload_and_download_need_little_memory_and_block_nobody(api, live, user):
    process = psutil.Process(api.process.pid)
    await live.post("/v1/files", content=large(8), headers=user.headers)
    before, peak, waits = process.memory_info().rss, 0, []
    upload = asyncio.ensure_future(live.post("/v1/files", content=large(500), headers=user.headers))
    while not upload.done():
        started = time.monotonic()
        assert (await live.get("/v1/users/me", headers=user.headers)).status_code == 200
        waits.append(time.monotonic() - started)
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.02)
    answer = upload.result()
    assert answer.status_code == 201, answer.text
    path = f"/v1/files/{answer.json()['id']}"
    async with live.stream("GET", f"{path}/content", headers=user.headers) as download:
        length = 0
        async for chunk in download.aiter_raw():
            length += len(chunk)
            peak = max(peak, process.memory_info().rss)
    assert length == answer.json()["size"]
    assert peak - before < 40 * MIB
    assert sorted(waits)[len(waits) // 2] < 0.5


async def test_an_upload_whose_connection_is_cut_leaves_nothing(api, live, port, user, composition):
    folder = composition.settings().data_dir / "files" / "blobs"
    before = {path.name for path in folder.glob("*")} if folder.exists() else set()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {user.headers['Authorization']}\r\n"
    writer.write(f"{head}Content-Length: {100 * MIB}\r\n\r\n".encode())
    writer.write(b"0123456789abcde\n" * (20 * MIB // 16))
    await writer.drain()
    for _ in range(100):
        usage = (await live.get("/v1/files/usage", headers=user.headers)).json()
        if usage["reserved_bytes"]:
            break
        await asyncio.sleep(0.02)
    assert usage["reserved_bytes"] == 100 * MIB
    writer.transport.abort()
    for _ in range(100):
        usage = (await live.get("/v1/files/usage", headers=user.headers)).json()
        left = {path.name for path in folder.glob("*")} - before if folder.exists() else set()
        if not usage["reserved_bytes"] and not left:
            break
        await asyncio.sleep(0.05)
    assert (usage["bytes"], usage["reserved_bytes"], usage["count"], left) == (0, 0, 0, set())


async def test_a_real_worker_makes_renditions_and_leaves_no_process_behind(live, user, programs):
    worker = programs("worker", "--queue", "files")
    relay = programs("relay")
    files = {"file": ("me.jpg", (DATA / "astronaut.jpg").read_bytes())}
    file = (await live.post("/v1/files", files=files, headers=user.headers)).json()
    for _ in range(200):
        job = (await live.get(file["jobs"][0]["url"], headers=user.headers)).json()
        if job["status"] in {"succeeded", "failed"}:
            break
        await asyncio.sleep(0.1)
    assert job["status"] == "succeeded", (job, worker.output)
    assert job["progress"]["percent"] == 100
    family = psutil.Process(worker.process.pid).children(recursive=True)
    assert len(family) >= 2
    worker.stop()
    relay.stop()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
