"""Opening untrusted pictures with libvips. Only the renderer's process may call this."""

from typing import Any

from domains.files.gateway.rendering.answers import Answer, Operation, Refused, Request

# By content type: the only loader that may open it. libvips would otherwise choose among some forty.
LOADERS = {
    "image/jpeg": "jpegload",
    "image/png": "pngload",
    "image/webp": "webpload",
    "image/gif": "gifload",
    "image/tiff": "tiffload",
    "image/avif": "heifload",
    "image/heic": "heifload",
}
_LOADER_CLASSES = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif")
_WEBP_QUALITY = 80


def prepare() -> None:
    """Import and use libvips once: what it loads later it could not find any more."""
    import pyvips  # noqa: PLC0415  # only the renderer's process may load it

    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)  # noqa: FBT003  # the library's signature
    pyvips.operation_block_set("VipsForeignLoad", True)  # noqa: FBT003
    for name in _LOADER_CLASSES:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)  # noqa: FBT003
    picture = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    pyvips.Image.webpload_buffer(picture.webpsave_buffer()).thumbnail_image(4).avg()


def _open_image(request: Request) -> Any:  # pyvips has no types
    """Read the header alone and refuse too many pixels before any is decoded."""
    import pyvips  # noqa: PLC0415

    loader = getattr(pyvips.Image, LOADERS[request["content_type"]])
    image = loader(request["input"], access="sequential", fail_on="error")
    if image.width * image.height > request["max_pixels"]:
        detail = (
            f"It has {image.width} x {image.height} pixels, more than the {request['max_pixels']:,} allowed."
        )
        raise Refused("image_too_large", detail)
    return image


def _measure_image(request: Request) -> Answer:
    """Return the size in pixels as a person sees it, after the orientation was applied."""
    image = _open_image(request)
    turned = image.get("orientation") >= 5 if image.get_typeof("orientation") else False  # noqa: PLR2004  # EXIF: 5 to 8 lie on their side
    width, height = (image.height, image.width) if turned else (image.width, image.height)
    return {"width": width, "height": height}


def _render_image(request: Request) -> Answer:
    """Write a WebP that fits into a square of `size` pixels, upright, in sRGB, without any metadata."""
    import pyvips  # noqa: PLC0415

    _open_image(request)
    size = request["size"]
    picture = pyvips.Image.thumbnail(
        request["input"], size, height=size, size="down", output_profile="srgb", fail_on="error"
    )
    return save_webp(picture, request["output"])


def save_webp(picture: Any, path: str) -> Answer:  # pyvips has no types
    """Write an image of libvips as a WebP without metadata; return its size in pixels."""
    picture.webpsave(path, Q=_WEBP_QUALITY, keep="none")
    return {"width": picture.width, "height": picture.height}


OPERATIONS: dict[str, Operation] = {"measure_image": _measure_image, "render_image": _render_image}
