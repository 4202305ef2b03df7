"""libvips in a bare loop on one thread: `make <path>` makes the picture, `render <path> <size>...` times it."""

import json
import sys
import time

import pyvips

_PICTURES = 12


def make(path: str) -> None:
    """Make a picture of 12 megapixels that compresses as a photograph does."""
    noise = pyvips.Image.gaussnoise(1000, 750, mean=128, sigma=40).resize(4)
    ramp = pyvips.Image.xyz(4000, 3000)
    picture = noise.bandjoin([ramp[0] / 16, ramp[1] / 12]).cast("uchar").copy(interpretation="srgb")
    picture.jpegsave(path, Q=88)


def render(path: str, sizes: list[int]) -> float:
    """Return of how many pictures a second all sizes are made."""
    pyvips.cache_set_max(0)
    _thumbnail(path, sizes[0])
    pictures = max(1, _PICTURES // len(sizes))
    begun = time.perf_counter()
    for _ in range(pictures):
        for size in sizes:
            _thumbnail(path, size)
    return pictures / (time.perf_counter() - begun)


def _thumbnail(path: str, size: int) -> None:
    picture = pyvips.Image.thumbnail(path, size, height=size, size="down", output_profile="srgb")
    picture.webpsave(path + ".webp", Q=80, keep="none")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        sys.stdout.write(json.dumps(render(sys.argv[2], [int(size) for size in sys.argv[3:]])))
