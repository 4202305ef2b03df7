"""Renditions by the confined child process, beside libvips called in a bare loop."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from domains.files.gateway.sandbox import Sandbox
from tools.bench.figures import Figures
from tools.bench.workplace import Workplace

ROUNDS = 5
PICTURES = 12
WIDTH, HEIGHT = 4000, 3000
SIZE = 512
RENDITIONS = [256, 1024, 2048]
BOUNDS: dict[str, str | int] = {
    "content_type": "image/jpeg",
    "max_pixels": 40_000_000,
    "max_side": 65_535,
    "max_frames": 1,
}


async def measure_pictures(place: Workplace, figures: Figures) -> None:
    """Make WebPs of pictures of 12 megapixels, one after the other, on one thread each."""
    source = place.folder / "picture.jpg"
    await asyncio.to_thread(_floor, "make", str(source))
    sandbox = place.container.files.sandbox()
    try:
        async with sandbox.workspace() as folder:
            given = folder / "picture.jpg"
            await asyncio.to_thread(given.write_bytes, source.read_bytes())
            for what, sizes in (("thumbnails", [SIZE]), ("all renditions", RENDITIONS)):
                await _measure(sandbox, given, source, figures, what=what, sizes=sizes)
    finally:
        await sandbox.stop()


async def _measure(
    sandbox: Sandbox, given: Path, source: Path, figures: Figures, *, what: str, sizes: list[int]
) -> None:
    """Compare one request for all sizes with bare libvips, which decodes the picture for each."""
    rates: dict[str, list[float]] = {"ours": [], "floor": []}
    pictures = max(1, PICTURES // len(sizes))
    for number in range(ROUNDS + 1):
        begun = time.perf_counter()
        for _ in range(pictures):
            await sandbox.make("render_image", source=given, sizes=sizes, **BOUNDS)
        ours = pictures / (time.perf_counter() - begun)
        theirs = float(await asyncio.to_thread(_floor, "render", str(source), *map(str, sizes)))
        if number:
            rates["ours"].append(ours)
            rates["floor"].append(theirs)
    figures.told(what, "confined child", rates["ours"], "a second")
    figures.told(what, "bare libvips", rates["floor"], "a second")
    ratios = [ours / floor for ours, floor in zip(rates["ours"], rates["floor"], strict=True)]
    figures.at_least(what, "to bare libvips", ratios, 0.9)


def _floor(what: str, path: str, *sizes: str) -> str:
    done = subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-m", "tools.bench.floors.pictures", what, path, *sizes],
        env={**os.environ, "VIPS_CONCURRENCY": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(json.loads(done.stdout or "0"))
