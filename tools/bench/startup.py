"""Time of the API to its first response, and its memory before the first request."""

import asyncio
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tools.bench.figures import Figures
from tools.bench.rounds import start
from tools.bench.workplace import Workplace

ROUNDS = 5
MEBIBYTE = 1 << 20


async def measure_start(place: Workplace, figures: Figures) -> None:
    """Start the API as `tulou api` does, again and again."""
    times, sizes = [], []
    for number in range(ROUNDS):
        seconds, size = await asyncio.to_thread(_start_once, place, place.folder / f"start-{number}")
        times.append(seconds)
        sizes.append(size / MEBIBYTE)
    figures.at_most("start", "to the first answer", times, 2.5, "s")
    figures.at_most("start", "resident memory of the API process", sizes, 130, "MiB")


def _start_once(place: Workplace, folder: Path) -> tuple[float, int]:
    folder.mkdir()
    begun = time.monotonic()
    environment = {**place.environment, "BENCH_CORES": "all"}
    server = start("api", "tools.bench.served", folder=folder, environment=environment, probe="/health/live")
    seconds = time.monotonic() - begun
    try:
        return seconds, psutil.Process(server.program.pid).memory_info().rss
    finally:
        server.program.stop()
