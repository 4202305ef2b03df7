"""Uploads and downloads of 200 MB, beside the same bytes without anything around them."""

import asyncio
import os
import sys
from pathlib import Path
from statistics import median

import asyncpg
import psutil  # type: ignore[import-untyped]

from tools.bench.figures import Figures
from tools.bench.floors import nginx
from tools.bench.login import apply_others
from tools.bench.rounds import Server
from tools.bench.workplace import Workplace

SIZE = 200 * 10**6
ROUNDS = 7
DOWNLOADS = 3
"""In a round, each server; their median counts."""

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
        await asyncio.to_thread(os.sync)
        theirs = await _send(place, floor, _head("POST /upload", ""), body)
        await asyncio.to_thread(os.sync)
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
    figures.at_least("upload", "to the floor", _ratios(uploads["ours"], uploads["floor"]), 0.8)
    figures.at_most("upload", "more memory than before it", grown, 15, "MiB")
    figures.at_most("upload", "p99 of other routes meanwhile", await _waits(place, ours, body), 60, "ms")
    body.replace(place.folder / "to-download")
    await _measure_download(place, figures)


async def _measure_download(place: Workplace, figures: Figures) -> None:
    bare = _head("GET /download", "")
    own = _head(f"GET /v1/files/{await _newest_file(place)}/content", place.people.tokens[1])
    heads = {"Tulou": own, "bare transfer": bare} | ({"nginx": bare} if nginx.PROGRAM else {})
    servers = {name: place.server(name, every_core=True) for name in heads}
    rates: dict[str, list[float]] = {name: [] for name in heads}
    await asyncio.to_thread(os.sync)  # what was uploaded, or the disk would be busy with it meanwhile
    for number in range(ROUNDS + 1):
        for name, server in servers.items():
            seconds = [await _receive(place, server, heads[name]) for _ in range(DOWNLOADS)]
            if number:
                rates[name].append(SIZE / 1e6 / median(seconds))
    told = {"Tulou": "whole", "bare transfer": "FileResponse", "nginx": "nginx"}
    for name, found in rates.items():
        figures.told("download", told[name], found, "MB/s")
    figures.at_least("download", "to FileResponse", _ratios(rates["Tulou"], rates["bare transfer"]), 4)
    if "nginx" in rates:
        figures.at_least("download", "to nginx", _ratios(rates["Tulou"], rates["nginx"]), 0.5)


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
        "tools.bench.bulk",
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


def _ratios(ours: list[float], floors: list[float]) -> list[float]:
    return [rate / floor for rate, floor in zip(ours, floors, strict=True)]
