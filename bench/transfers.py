"""Uploads and downloads of 200 MB, beside the same bytes without anything around them."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]

from bench.figures import Figures
from bench.login import apply_others
from bench.rounds import Server
from bench.workplace import Workplace

SIZE = 200 * 10**6
ROUNDS = 5
MEBIBYTE = 1 << 20
_LOOK_SECONDS = 0.01


async def measure_transfers(place: Workplace, figures: Figures) -> None:
    """Upload, then download."""
    ours = place.server("Tulou", every_core=True)
    floor = place.server("bare transfer", every_core=True)
    body = place.folder / "to-upload"
    uploads: dict[str, list[float]] = {"ours": [], "floor": []}
    grown: list[float] = []
    for number in range(ROUNDS + 1):
        await asyncio.to_thread(_write_body, body)
        theirs = await _send(place, floor, _head("POST /upload", ""), body)
        before = ours.memory()
        watching = asyncio.create_task(_most_memory(ours))
        seconds = await _send(place, ours, _upload_head(place), body)
        watching.cancel()
        if number:
            uploads["ours"].append(SIZE / 1e6 / seconds)
            uploads["floor"].append(SIZE / 1e6 / theirs)
            grown.append((max(_seen) - before) / MEBIBYTE)
    figures.told("upload", "with SHA-256", uploads["ours"], "MB/s")
    figures.told("upload", "the floor, without", uploads["floor"], "MB/s")
    figures.at_least("upload", "to the floor", _ratios(uploads), 0.8)
    figures.at_most("upload", "more memory than before it", grown, 15, "MiB")
    figures.at_most("upload", "p99 of other routes meanwhile", await _waits(place, ours, body), 60, "ms")
    body.replace(place.folder / "to-download")
    await _measure_download(place, figures, ours, floor, await _newest_file(place))


async def _measure_download(
    place: Workplace, figures: Figures, ours: Server, floor: Server, file_id: str
) -> None:
    rates: dict[str, list[float]] = {"ours": [], "floor": []}
    own_head = _head(f"GET /v1/files/{file_id}/content", place.people.tokens[1])
    for number in range(ROUNDS + 1):
        seconds = await _receive(place, ours, own_head)
        theirs = await _receive(place, floor, _head("GET /download", ""))
        if number:
            rates["ours"].append(SIZE / 1e6 / seconds)
            rates["floor"].append(SIZE / 1e6 / theirs)
    figures.told("download", "whole", rates["ours"], "MB/s")
    figures.told("download", "FileResponse", rates["floor"], "MB/s")
    figures.at_least("download", "to FileResponse", _ratios(rates), 4)


_seen: list[int] = []


async def _most_memory(server: Server) -> None:
    _seen[:] = [server.memory()]
    process = psutil.Process(server.program.pid)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        _seen.append(process.memory_info().rss)


async def _waits(place: Workplace, server: Server, body: Path) -> list[float]:
    async def upload() -> None:
        for _ in range(4):
            await _send(place, server, _upload_head(place), body)

    found = []
    for _ in range(2):
        await asyncio.to_thread(_write_body, body)
        uploading = asyncio.create_task(upload())
        found.append(await apply_others(place, server, seconds=2.0))
        await uploading
    return found


def _write_body(path: Path) -> None:
    """Write new bytes that begin as gzip does: a type that is accepted and that no work follows for."""
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08\x00")
        piece = os.urandom(MEBIBYTE)
        left = SIZE - 4
        while left:
            file.write(piece[:left])
            left -= min(left, len(piece))


def _upload_head(place: Workplace) -> str:
    disposition = "Content-Disposition: attachment; filename*=UTF-8''large.gz"
    return _head("POST /v1/files", place.people.tokens[1], "Content-Type: application/gzip", disposition)


def _head(start: str, token: str, *more: str) -> str:
    lines = [f"{start} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *more]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if start.startswith("POST"):
        lines.append(f"Content-Length: {SIZE}")
    return "\r\n".join([*lines, "", ""])


async def _send(place: Workplace, server: Server, head: str, body: Path) -> float:
    status, _, seconds = await _transfer(place, server, head, "send", str(body))
    if status != 201:  # noqa: PLR2004  # created
        raise RuntimeError(f"{server.name} answered {status} to an upload")
    return seconds


async def _receive(place: Workplace, server: Server, head: str) -> float:
    status, size, seconds = await _transfer(place, server, head, "receive")
    if (status, size) != (200, SIZE):
        raise RuntimeError(f"{server.name} answered {status} with {size} bytes to a download")
    return seconds


async def _transfer(place: Workplace, server: Server, head: str, *arguments: str) -> tuple[int, int, float]:
    path = place.folder / "head"
    await asyncio.to_thread(path.write_text, head)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.bulk",
        str(server.port),
        str(path),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    status, size, seconds = said.decode().split()
    return int(status), int(size), float(seconds)


async def _newest_file(place: Workplace) -> str:
    connection = await asyncpg.connect(place.system.postgres.superuser_url)
    try:
        found = await connection.fetchval(
            "SELECT id FROM files.files WHERE name = 'large.gz' ORDER BY created_at DESC LIMIT 1"
        )
    finally:
        await connection.close()
    return str(found)


def _ratios(rates: dict[str, list[float]]) -> list[float]:
    return [ours / floor for ours, floor in zip(rates["ours"], rates["floor"], strict=True)]
