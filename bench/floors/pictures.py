"""libvips in a bare loop, one process, one thread: `make <path>` makes the picture, `render <path>` prints a rate."""

import json
import sys
import time

import pyvips

_PICTURES = 12
_SIZE = 512


def make(path: str) -> None:
    """Make a picture of 12 megapixels that compresses as a photograph does."""
    noise = pyvips.Image.gaussnoise(1000, 750, mean=128, sigma=40).resize(4)
    ramp = pyvips.Image.xyz(4000, 3000)
    picture = noise.bandjoin([ramp[0] / 16, ramp[1] / 12]).cast("uchar").copy(interpretation="srgb")
    picture.jpegsave(path, Q=88)


def render(path: str) -> float:
    """Return how many thumbnails a second."""
    pyvips.cache_set_max(0)
    _thumbnail(path)
    begun = time.perf_counter()
    for _ in range(_PICTURES):
        _thumbnail(path)
    return _PICTURES / (time.perf_counter() - begun)


def _thumbnail(path: str) -> None:
    picture = pyvips.Image.thumbnail(path, _SIZE, height=_SIZE, size="down", output_profile="srgb")
    picture.webpsave(path + ".webp", Q=80, keep="none")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        sys.stdout.write(json.dumps(render(sys.argv[2])))
