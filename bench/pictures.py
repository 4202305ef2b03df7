"""Thumbnails by the confined child process, beside libvips called in a bare loop."""

import asyncio
import json
import os
import subprocess
import sys
import time

from bench.figures import Figures
from bench.workplace import Workplace

ROUNDS = 5
PICTURES = 12
WIDTH, HEIGHT = 4000, 3000
SIZE = 512


async def measure_pictures(place: Workplace, figures: Figures) -> None:
    """Make WebP thumbnails of pictures of 12 megapixels, one after the other, on one thread each."""
    source = place.folder / "picture.jpg"
    await asyncio.to_thread(_floor, "make", str(source))
    sandbox = place.container.files.renderer()
    rates: dict[str, list[float]] = {"ours": [], "floor": []}
    try:
        async with sandbox.workspace() as folder:
            given = folder / "picture.jpg"
            await asyncio.to_thread(given.write_bytes, source.read_bytes())
            for number in range(ROUNDS + 1):
                begun = time.perf_counter()
                for _ in range(PICTURES):
                    await sandbox.make(
                        "render_image",
                        source=given,
                        sizes=[SIZE],
                        content_type="image/jpeg",
                        max_pixels=40_000_000,
                        max_side=65_535,
                        max_frames=1,
                    )
                ours = PICTURES / (time.perf_counter() - begun)
                theirs = float(await asyncio.to_thread(_floor, "render", str(source)))
                if number:
                    rates["ours"].append(ours)
                    rates["floor"].append(theirs)
    finally:
        await sandbox.stop()
    figures.told("thumbnails", "confined child", rates["ours"], "a second")
    figures.told("thumbnails", "bare libvips", rates["floor"], "a second")
    ratios = [ours / floor for ours, floor in zip(rates["ours"], rates["floor"], strict=True)]
    figures.at_least("thumbnails", "to bare libvips", ratios, 0.9)


def _floor(what: str, path: str) -> str:
    done = subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-m", "bench.floors.pictures", what, path],
        env={**os.environ, "VIPS_CONCURRENCY": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return str(json.loads(done.stdout or "0"))
