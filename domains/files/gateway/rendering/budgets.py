"""Limits of pictures, checked by the header before a pixel is decoded."""

import resource
from pathlib import Path
from typing import Any

from domains.files.gateway.rendering.kinds import KINDS
from domains.files.gateway.rendering.responses import Refused, Request
from domains.files.gateway.rendering.tiff import has_more_pages

_BASE_BYTES = 96 << 20
"""Address space of the process before it opens anything."""
_MEMORY_PART = 0.75
"""The part of the process's memory that the decoder may use; the rest is for the renditions."""
_SAMPLE_BYTES = {"uchar": 1, "char": 1, "ushort": 2, "short": 2, "uint": 4, "int": 4, "float": 4}
_LARGEST_SAMPLE = 16
_COEFFICIENT_BYTES = 2
_MIB = 1 << 20


def check_file(request: Request) -> None:
    """Raise Refused for a file whose header alone would be expensive to read with its library."""
    path, kind = Path(request["input"]), KINDS[request["content_type"]]
    if kind.holds_file:
        _check_memory(path.stat().st_size)
    if kind.loader == "tiffload" and has_more_pages(path, request["max_frames"]):
        raise _too_many_frames(request)


def check_header(image: Any, request: Request) -> None:  # pyvips has no types
    """Raise Refused for a picture with too many pixels, too long a side, too many frames or too large in memory."""
    size = f"{image.width} x {image.height} pixels"
    if image.width * image.height > request["max_pixels"]:
        raise Refused("image_too_large", f"It has {size}, more than the {request['max_pixels']:,} allowed.")
    if max(image.width, image.height) > request["max_side"]:
        raise Refused(
            "image_too_large", f"It has {size}; no side may have more than {request['max_side']:,}."
        )
    if _has(image, "n-pages") and image.get("n-pages") > request["max_frames"]:
        raise _too_many_frames(request)
    _check_memory(_decoder_bytes(image, request))


def _decoder_bytes(image: Any, request: Request) -> int:
    """Estimate the memory of the decoder in bytes."""
    kind = KINDS[request["content_type"]]
    sample = _SAMPLE_BYTES.get(image.format, _LARGEST_SAMPLE)
    pixel = kind.pixel_bytes
    if _is(image, "jpeg-multiscan"):
        pixel = image.bands * _COEFFICIENT_BYTES  # a progressive JPEG: the coefficients of all scans
    elif kind.holds_samples or _is(image, "interlaced"):
        pixel = image.bands * sample
    return int(image.width * image.height * pixel)


def _check_memory(needed: int) -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    allowed = int(limit * _MEMORY_PART) - _BASE_BYTES
    if needed > max(allowed, 0):
        detail = (
            f"Decoding it takes about {needed // _MIB:,} MiB of memory, more than the {max(allowed, 0) // _MIB:,}"
            " MiB that it may take."
        )
        raise Refused("image_too_large", detail)


def _too_many_frames(request: Request) -> Refused:
    return Refused("image_too_large", f"It has more than {request['max_frames']:,} pages or frames.")


def _is(image: Any, field: str) -> bool:
    return _has(image, field) and bool(image.get(field))


def _has(image: Any, field: str) -> bool:
    return bool(image.get_typeof(field))
