"""The program of the process that opens untrusted images and documents.

It reads one JSON object a line from standard input and answers one a line on standard output. It imports
nothing of the rest of Tulou, holds no secret and has given up the network, new processes, other people's files
and unbounded memory before the first request.
"""

import errno
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domains.files.gateway import confinement

Request = dict[str, Any]
Answer = dict[str, Any]

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
_FONTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
_WEBP_QUALITY = 80
# What the parsers say when they meet the limits of this process.
_LIMIT_SIGNS = ("memory", "allocat", "file too large")
_TINY_DOCUMENT = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 20 20]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 32>>stream
BT /F 9 Tf 2 2 Td (Tulou) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
"""


class Refused(Exception):  # an answer, not a mistake
    """The input can't be used; the first argument is the reason's name, the second a sentence."""


def main() -> None:
    """Give up what a parser doesn't need, then serve until standard input ends."""
    limits = json.loads(sys.stdin.readline())
    try:
        _prepare_libraries()
        _confine(limits)
    except (confinement.ConfinementUnavailableError, ImportError) as error:
        _answer({"unavailable": str(error)})
        return
    _answer({"ready": True})
    for line in sys.stdin:
        confinement.grant_cpu_seconds(limits["cpu_seconds"])
        _answer(_perform(json.loads(line)))


def _confine(limits: Request) -> None:
    if limits["confined"]:
        confinement.die_with_parent()
        confinement.restrict_paths(writable=Path(limits["folder"]), readable=_FONTS)
        confinement.deny_network_and_processes()
    confinement.limit_resources(memory_bytes=limits["memory_bytes"], output_bytes=limits["output_bytes"])


def _prepare_libraries() -> None:
    """Import and use both libraries once: what they load later they could not find any more."""
    import pypdfium2  # noqa: PLC0415  # only this process may load it
    import pyvips  # noqa: PLC0415

    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)  # noqa: FBT003  # the library's signature
    pyvips.operation_block_set("VipsForeignLoad", True)  # noqa: FBT003
    for name in _LOADER_CLASSES:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)  # noqa: FBT003
    picture = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    pyvips.Image.webpload_buffer(picture.webpsave_buffer()).thumbnail_image(4).avg()
    document = pypdfium2.PdfDocument(_TINY_DOCUMENT)
    _page_text(document, 0)
    document[0].render(scale=1, prefer_bgrx=True, rev_byteorder=True)


def _answer(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _perform(request: Request) -> Answer:
    operation = OPERATIONS[request["operation"]]
    try:
        return {"ok": operation(request)}
    except Refused as refusal:
        return {"refused": refusal.args[0], "detail": refusal.args[1]}
    except MemoryError:
        return {"refused": "parser_limit", "detail": "Reading it takes more memory than allowed."}
    except OSError as error:
        if error.errno == errno.EFBIG:
            return {"refused": "parser_limit", "detail": "What is made of it is larger than allowed."}
        return {"failed": f"{type(error).__name__}: {error.strerror}"}
    except Exception as error:  # noqa: BLE001  # whatever a parser says about broken input is a refusal
        return _refusal_of(error)


def _refusal_of(error: Exception) -> Answer:
    text = str(error).lower()
    if any(sign in text for sign in _LIMIT_SIGNS):
        return {"refused": "parser_limit", "detail": "Reading it takes more memory than allowed."}
    return {"refused": "broken_document", "detail": "Its content is damaged or isn't what its type says."}


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
    return _save_webp(picture, request["output"])


def _save_webp(picture: Any, path: str) -> Answer:  # pyvips has no types
    picture.webpsave(path, Q=_WEBP_QUALITY, keep="none")
    return {"width": picture.width, "height": picture.height}


def _open_document(request: Request) -> Any:  # pypdfium2 has few types
    import pypdfium2  # noqa: PLC0415

    try:
        return pypdfium2.PdfDocument(request["input"])
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Refused("password_required", "It can only be read with a password.") from error
        raise


def _measure_document(request: Request) -> Answer:
    pages = len(_open_document(request))
    if pages == 0:
        raise Refused("broken_document", "It has no pages.")
    return {"pages": pages}


def _extract_text(request: Request) -> Answer:
    """Write the document's text in UTF-8, at most `max_characters` of it; pages are parted by form feeds."""
    document = _open_document(request)
    left, truncated, pieces = request["max_characters"], False, []
    for number in range(len(document)):
        text = _page_text(document, number)
        truncated = len(text) > left
        pieces.append(text[:left])
        left -= len(pieces[-1]) + 1
        if truncated or left <= 0:
            break
    whole = "\f".join(pieces)
    Path(request["output"]).write_text(whole, encoding="utf-8", newline="\n")
    return {"characters": len(whole), "truncated": truncated}


def _page_text(document: Any, number: int) -> str:  # pypdfium2 has few types
    page = document[number]
    text_page = page.get_textpage()
    text: str = text_page.get_text_range()
    text_page.close()
    page.close()
    # PostgreSQL can't keep NUL, and UTF-8 has no lone surrogates.
    return text.replace("\0", "").replace("\r\n", "\n").encode("utf-8", "ignore").decode()


def _render_document(request: Request) -> Answer:
    """Write a WebP of the first page that fits into a square of `size` pixels."""
    import pyvips  # noqa: PLC0415

    page = _open_document(request)[0]
    longest = max(page.get_size())
    if longest <= 0:
        raise Refused("broken_document", "Its first page has no size.")
    bitmap = page.render(scale=request["size"] / longest, prefer_bgrx=True, rev_byteorder=True)
    pixels = pyvips.Image.new_from_memory(bytes(bitmap.buffer), bitmap.width, bitmap.height, 4, "uchar")
    return _save_webp(pixels.extract_band(0, n=3).copy(interpretation="srgb"), request["output"])


def _probe(request: Request) -> Answer:
    """Try what must be impossible here; the sandbox's own check calls it. Return the name of what still works."""
    works = []
    attempts: dict[str, Callable[[], object]] = {
        "network": lambda: socket.socket().close(),
        "process": lambda: os.fork() or os._exit(0),
        "read": lambda: Path(request["input"]).read_bytes(),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        works.append(name)
    return {"works": works}


OPERATIONS: dict[str, Callable[[Request], Answer]] = {
    "measure_image": _measure_image,
    "render_image": _render_image,
    "measure_document": _measure_document,
    "extract_text": _extract_text,
    "render_document": _render_document,
    "probe": _probe,
}
