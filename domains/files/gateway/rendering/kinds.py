"""The types of picture that are opened, and what decoding each costs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """How pictures of one type are decoded.

    `loader` is the only loader of libvips that may open them: it would otherwise choose among some forty by their
    bytes. `strict` is its level of `fail_on` at which every pixel was there. `pixel_bytes` is what its decoder holds in
    memory for each pixel of the picture, as measured; 0 is for those that go row by row. `holds_samples` is for those
    that may come in one piece of any depth, `holds_file` for decoders that read the whole file first.
    """

    loader: str
    strict: str = "error"
    pixel_bytes: float = 0
    holds_samples: bool = False
    holds_file: bool = False


_HEIF = Kind("heifload", pixel_bytes=16.5, holds_file=True)
KINDS = {
    "image/jpeg": Kind("jpegload", strict="warning"),
    "image/png": Kind("pngload"),
    "image/webp": Kind("webpload", pixel_bytes=5, holds_file=True),
    "image/gif": Kind("gifload", pixel_bytes=7, holds_file=True),
    "image/tiff": Kind("tiffload", holds_samples=True),
    "image/avif": _HEIF,
    "image/heic": _HEIF,
}
