"""Limits on a client's concurrent slow requests, on a real server with small limits."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import psutil
import pytest

from tests.security.conftest import Connection, Live
from tests.security.test_pipelining import PICTURE
from tools.faults.people import People, Person

FEW = {
    "TULOU_UPLOADS_PER_ACCOUNT": "2",
    "TULOU_UPLOADS_PER_ADDRESS": "3",
    "TULOU_UPLOADS_AT_ONCE": "8",
    "TULOU_DOWNLOADS_PER_ACCOUNT": "2",
    "TULOU_DOWNLOADS_PER_ADDRESS": "3",
    "TULOU_DOWNLOADS_AT_ONCE": "8",
    "TULOU_STREAMS_PER_ACCOUNT": "2",
    "TULOU_STREAMS_PER_ADDRESS": "3",
    "TULOU_STREAMS_AT_ONCE": "8",
    "TULOU_BODIES_PER_ADDRESS": "2",
    "TULOU_BODIES_AT_ONCE": "6",
    "TULOU_BODY_TIMEOUT": "30",
    "TULOU_WRITE_TIMEOUT": "30",
    "TULOU_TRUSTED_PROXIES": "127.0.0.1",
}
LARGE = b"a line of text\n" * 600_000
"""More than all buffers between take in."""


@dataclass
class Scene:
    """A live server, two accounts, and what each of them can ask for."""

    live: Live
    people: list[Person]
    paths: list[dict[str, str]]

    def request(self, activity: str, caller: int, address: str) -> bytes:
        """Return the head of a request that stays in progress for as long as its client does nothing."""
        fields = f"Host: x\r\nX-Forwarded-For: {address}\r\n"
        fields += f"Authorization: {self.people[caller].headers['Authorization']}\r\n"
        if activity == "uploads":
            fields += "Content-Type: text/plain\r\nContent-Length: 9000\r\n"
            return f"POST /v1/files HTTP/1.1\r\n{fields}\r\n".encode()
        if activity == "large request bodies":
            fields += "Content-Type: application/json\r\nContent-Length: 70000\r\n"
            return f"PATCH /v1/users/me HTTP/1.1\r\n{fields}\r\n{{".encode()
        return f"GET {self.paths[caller][activity]} HTTP/1.1\r\n{fields}\r\n".encode()


@pytest.fixture(scope="module")
async def scene(serving: Callable[..., Live], app, composition) -> Scene:
    live = serving(**FEW)
    people, paths = [], []
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        for _ in range(2):
            person = await People(client, composition).register()
            files = {"file": ("dot.png", PICTURE, "image/png")}
            file = await client.post("/v1/files", files=files, headers=person.headers)
            events = f"{file.json()['jobs'][0]['url']}/events"
            headers = {**person.headers, "Content-Type": "text/plain"}
            large = await client.post("/v1/files", content=LARGE, headers=headers)
            assert large.status_code == 201, large.text
            people.append(person)
            paths.append({"event streams": events, "downloads": f"/v1/files/{large.json()['id']}/content"})
    return Scene(live, people, paths)


async def _held(stack: AsyncExitStack, scene: Scene, request: bytes) -> Connection:
    """Begin, and wait until it counts."""
    connection = await stack.enter_async_context(scene.live.connection())
    await connection.say(request)
    if request.startswith(b"GET"):
        assert (await connection.heard(b"\r\n")).startswith(b"HTTP/1.1 200 ")
    else:
        await asyncio.sleep(0.3)
    return connection


async def _refused(scene: Scene, request: bytes, *, status: int, level: str) -> dict[str, object]:
    async with scene.live.connection() as connection:
        await connection.say(request)
        head = await connection.heard(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), head
        assert b"retry-after: 5" in head.lower()
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        problem: dict[str, object] = json.loads(await connection.reader.readexactly(length))
        assert problem["code"] == ("server.busy" if status == 503 else "request.too_many_in_progress")
        assert problem["level"] == level
        return problem


@pytest.mark.parametrize("activity", ["uploads", "downloads", "event streams"])
async def test_an_account_an_address_and_a_process_have_so_much_in_progress(
    scene: Scene, activity: str
) -> None:
    one, two, three = "203.0.113.1", "203.0.113.2", "2001:db8::1"
    async with AsyncExitStack() as stack:
        first = [await _held(stack, scene, scene.request(activity, 0, one)) for _ in range(2)]
        problem = await _refused(scene, scene.request(activity, 0, two), status=429, level="account")
        assert (problem["activity"], problem["limit"]) == (activity, 2)
        await _held(stack, scene, scene.request(activity, 1, one))
        await _refused(scene, scene.request(activity, 1, one), status=429, level="address")
        await _held(stack, scene, scene.request(activity, 1, three))
        first[0].writer.close()
        await _until_one_is_let_in(stack, scene, scene.request(activity, 0, two))
    await _until_all_is_free(scene, activity)


async def test_a_process_has_so_much_in_progress(serving: Callable[..., Live], scene: Scene) -> None:
    live = serving(**(FEW | {"TULOU_DOWNLOADS_AT_ONCE": "1", "TULOU_PUBLIC_URL": scene.live.url}))
    crowded = Scene(live, scene.people, scene.paths)
    async with AsyncExitStack() as stack:
        await _held(stack, crowded, scene.request("downloads", 0, "203.0.113.1"))
        request = scene.request("downloads", 1, "203.0.113.9")
        await _refused(crowded, request, status=503, level="process")


async def test_an_address_has_less_than_is_free(serving: Callable[..., Live], scene: Scene) -> None:
    live = serving(**(FEW | {"TULOU_DOWNLOADS_AT_ONCE": "4", "TULOU_PUBLIC_URL": scene.live.url}))
    crowded = Scene(live, scene.people, scene.paths)
    async with AsyncExitStack() as stack:
        for caller in (0, 1):
            await _held(stack, crowded, scene.request("downloads", caller, "203.0.113.1"))
        problem = await _refused(
            crowded, scene.request("downloads", 0, "203.0.113.1"), status=429, level="address"
        )
        assert "only 2 more are free" in str(problem["detail"])
        await _held(stack, crowded, scene.request("downloads", 0, "203.0.113.9"))


async def test_an_address_sends_so_many_large_bodies_at_a_time(scene: Scene) -> None:
    request = scene.request("large request bodies", 0, "203.0.113.5")
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await _held(stack, scene, request)
        await _refused(scene, request, status=429, level="address")
        small = request.replace(b"70000", b"2") + b"}"
        connection = await _held(stack, scene, small)
        assert b"HTTP/1.1 429" not in await connection.heard(b"\r\n")


async def test_small_downloads_do_not_count(scene: Scene) -> None:
    path = scene.paths[0]["downloads"]
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await _held(stack, scene, scene.request("downloads", 0, "203.0.113.7"))
        async with httpx.AsyncClient(base_url=scene.live.url) as client:
            headers = {**scene.people[0].headers, "Range": "bytes=0-99"}
            assert (await client.get(path, headers=headers)).status_code == 206
            assert (await client.head(path, headers=scene.people[0].headers)).status_code == 200


async def test_asking_for_the_head_of_a_stream_holds_no_place(scene: Scene) -> None:
    async with httpx.AsyncClient(base_url=scene.live.url) as client:
        for _ in range(6):
            path = scene.paths[0]["event streams"]
            assert (await client.head(path, headers=scene.people[0].headers)).status_code == 200
            await asyncio.sleep(0.1)


async def test_three_hundred_readers_that_never_read_take_little_memory(
    serving: Callable[..., Live], scene: Scene
) -> None:
    many = {name: "1000" for name in FEW if name.startswith("TULOU_DOWNLOADS")}
    live = serving(**(FEW | many | {"TULOU_RATE_LIMIT": "0", "TULOU_PUBLIC_URL": scene.live.url}))
    process = psutil.Process(live.program.process.pid)
    hundreds = Scene(live, scene.people, scene.paths)
    before = process.memory_info().rss
    async with AsyncExitStack() as stack:
        for number in range(300):
            await _held(stack, hundreds, scene.request("downloads", number % 2, "203.0.113.8"))
        await asyncio.sleep(1)
        grown = (process.memory_info().rss - before) / (1 << 20)
    assert grown < 180, f"{grown:.0f} MiB"  # two pieces of 128 KiB each, and at most 32 MiB of larger ones


async def _until_one_is_let_in(stack: AsyncExitStack, scene: Scene, request: bytes) -> None:
    async with asyncio.timeout(10):
        while True:
            connection = await stack.enter_async_context(scene.live.connection())
            await connection.say(request)
            if request.startswith(b"POST"):
                await connection.say(b"x" * 9000)
            if not (await connection.heard(b"\r\n")).startswith(b"HTTP/1.1 429 "):
                return
            await asyncio.sleep(0.1)


async def _until_all_is_free(scene: Scene, activity: str) -> None:
    """Wait until as many as at first are let in again: nothing was left counted."""
    async with asyncio.timeout(10):
        while True:
            async with AsyncExitStack() as stack:
                answers = []
                for _ in range(2):
                    connection = await stack.enter_async_context(scene.live.connection())
                    await connection.say(scene.request(activity, 0, "203.0.113.1") + b"x" * 9000)
                    answers.append(await connection.heard(b"\r\n"))
                if not any(answer.startswith(b"HTTP/1.1 429 ") for answer in answers):
                    return
            await asyncio.sleep(0.1)
