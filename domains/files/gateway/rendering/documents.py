"""Opening untrusted documents with pdfium. Only the renderer's process may call this."""

from pathlib import Path
from typing import Any

from domains.files.gateway.rendering.answers import Answer, Operation, Refused, Request
from domains.files.gateway.rendering.pictures import save_webp

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


def prepare() -> None:
    """Import and use pdfium once: what it loads later it could not find any more."""
    import pypdfium2  # noqa: PLC0415  # only the renderer's process may load it

    document = pypdfium2.PdfDocument(_TINY_DOCUMENT)
    _page_text(document, 0)
    document[0].render(scale=1, prefer_bgrx=True, rev_byteorder=True)


def _open_document(request: Request) -> Any:  # pypdfium2 has few types
    import pypdfium2  # noqa: PLC0415

    # An open file, since pypdfium2 resolves a path, and folders above this one may be closed to this process.
    source = Path(request["input"]).open("rb")  # noqa: SIM115  # the document closes it
    try:
        return pypdfium2.PdfDocument(source, autoclose=True)
    except pypdfium2.PdfiumError as error:
        source.close()
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
    return save_webp(pixels.extract_band(0, n=3).copy(interpretation="srgb"), request["output"])


OPERATIONS: dict[str, Operation] = {
    "measure_document": _measure_document,
    "extract_text": _extract_text,
    "render_document": _render_document,
}
