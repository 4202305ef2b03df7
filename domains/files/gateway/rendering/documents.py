"""Opening of untrusted documents with pdfium. Only the sandbox process may call this."""

from pathlib import Path
from typing import Any

from domains.files.gateway.rendering.pictures import save_webp
from domains.files.gateway.rendering.responses import DETAILS, Operation, Refused, Request, Response
from domains.files.gateway.rendering.text import readable

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
_BROKEN = ("broken_document", DETAILS["broken_document"])
# By FPDF_ERR_*.
_REFUSALS = {
    4: ("password_required", "The document is protected by a password."),
    5: ("unsupported_codec", "This server can't read the encryption of the document."),
}


def prepare() -> None:
    """Import and use pdfium once: later it could not load its libraries any more."""
    import pypdfium2  # noqa: PLC0415  # only the sandbox process may load it

    with pypdfium2.PdfDocument(_TINY_DOCUMENT) as document:
        _show_forms(document)
        _page_text(document, 0)
        document[0].render(scale=1, prefer_bgrx=True, rev_byteorder=True)


def _measure_document(request: Request) -> Response:
    with _opened(request) as document:
        return {"pages": len(document)}


def _extract_text(request: Request) -> Response:
    """Write the document's text in UTF-8, at most `max_characters` of it; pages are parted by form feeds.

    `damaged` says that there are pages that can't be read: their text is empty.
    """
    left, damaged, pieces = request["max_characters"], False, []
    with _opened(request) as document:
        pages = min(len(document), request["max_pages"])
        truncated = pages < len(document)
        for number in range(pages):
            found = _page_text(document, number)
            text, damaged = found or "", damaged or found is None
            pieces.append(text[:left])
            truncated = truncated or len(text) > left
            left -= len(pieces[-1]) + 1
            if left <= 0:
                truncated = truncated or number + 1 < pages
                break
    content = "\f".join(pieces)
    Path(request["output"]).write_text(content, encoding="utf-8", newline="\n")
    return {"characters": len(content), "truncated": truncated, "damaged": damaged}


def _render_document(request: Request) -> Response:
    """Write a WebP of the first page that fits into a square of `size` pixels."""
    import pyvips  # noqa: PLC0415

    with _opened(request) as document:
        page = document[0]
        longest = max(page.get_size())
        if longest <= 0:
            raise Refused("broken_document", "Its first page has no size.")
        bitmap = page.render(scale=request["size"] / longest, prefer_bgrx=True, rev_byteorder=True)
        pixels = pyvips.Image.new_from_memory(bytes(bitmap.buffer), bitmap.width, bitmap.height, 4, "uchar")
    return save_webp(pixels.extract_band(0, n=3).copy(interpretation="srgb"), request["output"])


def _opened(request: Request) -> Any:  # pypdfium2 has few types
    """Return an open document with at least one page, to be used in a `with`.

    pypdfium2 itself would ask pdfium for its last error also of a document that has no pages, where pdfium has none:
    it would tell the error of the document before.
    """
    import pypdfium2  # noqa: PLC0415
    from pypdfium2 import raw  # noqa: PLC0415

    raw.FPDF_LoadMemDocument64(b"", 0, None)  # fails, so the last error is of this request from here on
    handle = raw.FPDF_LoadDocument(request["input"].encode() + b"\0", None)
    if not handle:
        raise Refused(*_REFUSALS.get(raw.FPDF_GetLastError(), _BROKEN))
    document = pypdfium2.PdfDocument(handle)
    _show_forms(document)
    if len(document) > 0:
        return document
    document.close()
    raise Refused("no_pages", "The document has no pages.")


def _show_forms(document: Any) -> None:
    """Show the values of form fields. Scripts and actions never run: there is no platform for them."""
    from pypdfium2 import raw  # noqa: PLC0415

    document.init_forms(raw.FPDF_FORMFILLINFO(version=2, m_pJsPlatform=None, xfa_disabled=True))


def _page_text(document: Any, number: int) -> str | None:
    """Return the text of a page, or None if the page can't be read."""
    import pypdfium2  # noqa: PLC0415

    try:
        page = document[number]
        if document.formenv:
            page = _with_fields(document, page, number)
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return None
    text: str = text_page.get_text_range()
    text_page.close()
    page.close()
    return readable(text)


def _with_fields(document: Any, page: Any, number: int) -> Any:
    """Return the page with its form fields flattened into its content, so that they are part of the text."""
    from pypdfium2 import raw  # noqa: PLC0415

    if raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY) != raw.FLATTEN_SUCCESS:
        return page
    page.close()
    return document[number]


OPERATIONS: dict[str, Operation] = {
    "measure_document": _measure_document,
    "extract_text": _extract_text,
    "render_document": _render_document,
}
