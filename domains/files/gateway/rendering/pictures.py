"""Opening of untrusted pictures with libvips. Only the sandbox process may call this."""

import re
from pathlib import Path
from typing import Any

from domains.files.gateway.rendering.budgets import check_file, check_header
from domains.files.gateway.rendering.kinds import KINDS, Kind
from domains.files.gateway.rendering.responses import Operation, Request, Response, reason_of

_LOADER_CLASSES = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif")
_CMYK_BANDS = 4
_WEBP_QUALITY = 80
_MAX_REPAIRED_BYTES = 64 << 20
"""Bytes of a JPEG that are read into memory to add the end marker that it lacks."""
_END_OF_JPEG = b"\xff\xd9"
# What libjpeg warns of although every pixel is there: many cameras and programs write such files. Bytes in front of a
# restart marker (0xd0 to 0xd7) are pixels that it could not decode.
_HARMLESS = re.compile(
    "invalid sos parameters|unknown jfif revision|extraneous bytes before marker 0x(?!d[0-7])", re.IGNORECASE
)


def prepare() -> None:
    """Import and use libvips once: later it could not load its libraries any more."""
    import pyvips  # noqa: PLC0415  # only the sandbox process may load it

    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)  # noqa: FBT003  # the library's signature
    pyvips.operation_block_set("VipsForeignLoad", True)  # noqa: FBT003
    for name in _LOADER_CLASSES:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)  # noqa: FBT003
    picture = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    pyvips.Image.webpload_buffer(picture.webpsave_buffer()).thumbnail_image(4).avg()


def save_webp(picture: Any, path: str) -> Response:  # pyvips has no types
    """Write an image of libvips as a WebP without metadata; return its size in pixels."""
    Path(path).write_bytes(_webp(picture))
    return {"width": picture.width, "height": picture.height}


def _measure_image(request: Request) -> Response:
    """Return the size in pixels after the orientation was applied."""
    image = _open(request, fail_on="none")
    turned = image.get("orientation") >= 5 if image.get_typeof("orientation") else False  # noqa: PLR2004  # EXIF: 5 to 8 lie on their side
    width, height = (image.height, image.width) if turned else (image.width, image.height)
    return {"width": width, "height": height}


def _render_image(request: Request) -> Response:
    """Write WebPs, one after the other, that fit into squares of `sizes` pixels: upright, in sRGB, without metadata.

    The picture is decoded once, for the largest of them. `damaged` says that some of its data could not be decoded;
    what is missing is grey or transparent then.
    """
    picture, damaged = _decoded(request, max(request["sizes"]))
    made, facts = [], []
    encoded: dict[tuple[int, int], bytes] = {}  # pictures are not enlarged, so several sizes may be equal
    for size in request["sizes"]:
        smaller = picture.thumbnail_image(size, height=size, size="down").copy_memory()
        shape = (smaller.width, smaller.height)
        if shape not in encoded:
            encoded[shape] = _webp(smaller)
        made.append(encoded[shape])
        facts.append({"width": smaller.width, "height": smaller.height, "bytes": len(made[-1])})
    Path(request["output"]).write_bytes(b"".join(made))
    return {"pictures": facts, "damaged": damaged}


def _decoded(request: Request, size: int) -> tuple[Any, bool]:
    """Return the picture in memory, at most `size` pixels wide and high, and whether data was damaged."""
    image = _undamaged(request, size)
    if image is None and _may_lack_end_marker(request):
        # Browsers show a JPEG that lacks only the end marker.
        image = _undamaged(request, size, content=Path(request["input"]).read_bytes() + _END_OF_JPEG)
    return (image, False) if image is not None else (_thumbnail(request, size, fail_on="none"), True)


def _may_lack_end_marker(request: Request) -> bool:
    path = Path(request["input"])
    return KINDS[request["content_type"]].loader == "jpegload" and path.stat().st_size <= _MAX_REPAIRED_BYTES


def _undamaged(
    request: Request, size: int, *, content: bytes | None = None, fail_on: str | None = None
) -> Any | None:
    """Return the picture, or None if some of its data can't be decoded.

    None rather than an error: its traceback would keep the first decoder's memory while another one works. A codec that
    is not there and a limit are no damage: without `fail_on` the picture would be black.
    """
    import pyvips  # noqa: PLC0415

    level = fail_on or KINDS[request["content_type"]].strict
    try:
        return _thumbnail(request, size, fail_on=level, content=content)
    except pyvips.Error as error:
        if reason_of(error) != "broken_document":
            raise
        harmless = level == "warning" and _HARMLESS.search(error.detail)
    return _undamaged(request, size, content=content, fail_on="error") if harmless else None


def _thumbnail(request: Request, size: int, *, fail_on: str, content: bytes | None = None) -> Any:
    image = _open(request, fail_on=fail_on, content=content)
    options = _shrink_on_load(KINDS[request["content_type"]], max(image.width, image.height) / size)
    if options:
        image = _load(request, fail_on=fail_on, content=content, **options)
    shown = _cmyk_to_rgb(image)
    return shown.thumbnail_image(size, height=size, size="down", output_profile="srgb").copy_memory()


def _cmyk_to_rgb(image: Any) -> Any:
    """Return CMYK without a profile as RGB, each ink taking away its share; libvips would assume a printing press."""
    is_bare = image.interpretation == "cmyk" and not image.get_typeof("icc-profile-data")
    if not is_bare or (image.bands, image.format) != (_CMYK_BANDS, "uchar"):
        return image
    light = image.invert()
    return (light[0:3] * light[3] / 255).rint().cast("uchar").copy(interpretation="srgb")


def _shrink_on_load(kind: Kind, shrink: float) -> dict[str, float]:
    """Return what has the decoder itself make a smaller picture, as `vips_thumbnail` does.

    JPEG leaves a factor of at least two for the better filter that comes after it.
    """
    if kind.loader == "jpegload":
        factor = next((each for each in (8, 4, 2) if shrink >= 2 * each), 1)
        return {"shrink": factor} if factor > 1 else {}
    return {"scale": 1 / shrink} if kind.loader == "webpload" and shrink > 1 else {}


def _open(request: Request, *, fail_on: str, content: bytes | None = None) -> Any:
    """Read the header only, and refuse a picture past the limits before any pixel is decoded."""
    check_file(request)
    image = _load(request, fail_on=fail_on, content=content)
    check_header(image, request)
    return image


def _load(request: Request, *, fail_on: str, content: bytes | None = None, **options: float) -> Any:
    import pyvips  # noqa: PLC0415

    name = KINDS[request["content_type"]].loader
    loader = getattr(pyvips.Image, name if content is None else f"{name}_buffer")
    source = request["input"] if content is None else content
    return loader(source, access="sequential", fail_on=fail_on, **options)


def _webp(picture: Any) -> bytes:
    content: bytes = picture.webpsave_buffer(Q=_WEBP_QUALITY, keep="none")
    return content


OPERATIONS: dict[str, Operation] = {"measure_image": _measure_image, "render_image": _render_image}
