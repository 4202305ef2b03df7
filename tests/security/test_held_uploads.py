"""Uploads that stall, or get a response before they were sent, on a real server."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.security.conftest import Live
from tools.faults.people import People

MEBIBYTE = 1 << 20
HEAD = "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100000000\r\n"


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _sizes(folder: Path, earlier: set[Path]) -> list[int]:
    """Return the sizes of files in the store that were not there earlier."""
    found = []
    for path in _files(folder) - earlier:
        with contextlib.suppress(FileNotFoundError):  # it was deleted in between
            found.append(path.stat().st_size)
    return found


async def test_a_stalled_upload_is_written_as_it_comes_and_leaves_nothing(
    serving: Callable[..., Live], servers, app, composition
) -> None:
    live = serving(TULOU_BODY_TIMEOUT="3", TULOU_FILES_STORE_URL="")
    folder = Path(servers.environment["TULOU_DATA_DIR"]) / "files"
    earlier = _files(folder)
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as client:
        person = await People(client, composition).register()
        async with live.connection() as connection:
            field = f"Authorization: {person.headers['Authorization']}\r\n\r\n"
            await connection.say((HEAD + field).encode() + b"a line of text\n" * (3 * MEBIBYTE // 15))
            async with asyncio.timeout(3):
                while not any(size >= MEBIBYTE for size in _sizes(folder, earlier)):
                    await asyncio.sleep(0.05)
            assert b'"request.timed_out"' in await connection.everything()
        async with asyncio.timeout(10):
            while (await client.get("/v1/files/usage", headers=person.headers)).json()["bytes"]:
                await asyncio.sleep(0.05)
            while _sizes(folder, earlier):
                await asyncio.sleep(0.05)
        assert (await client.get("/v1/files", headers=person.headers)).json()["data"] == []


async def test_an_upload_that_was_answered_is_not_read_to_its_end(serving: Callable[..., Live]) -> None:
    live = serving(TULOU_BODY_TIMEOUT="600", TULOU_HEAD_TIMEOUT="600", TULOU_KEEP_ALIVE_TIMEOUT="600")
    async with live.connection() as connection:
        await connection.say(f"{HEAD}\r\n".encode() + b"x" * 1000)
        assert (await connection.everything()).startswith(b"HTTP/1.1 401 ")
