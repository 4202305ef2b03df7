"""Detection of text, its type and its encoding, from the first bytes."""

import codecs
import csv
import io
import json
import re

# The tags that make a browser take text for HTML (WHATWG MIME Sniffing, section 7.1), and a few more.
_HTML = re.compile(
    rb"<(!doctype\s+html|html|head|script|iframe|object|embed|h1|div|font|table|style|title|body|form|img|meta|link"
    rb"|svg:|base|a|b|br|p|!--)(?=[\s>/]|$)",
    re.IGNORECASE,
)
_SVG = re.compile(rb"<(?:[^\s<>/:]+:)?svg[\s>/]|http://www\.w3\.org/2000/svg", re.IGNORECASE)
_XHTML = b"http://www.w3.org/1999/xhtml"
_PROLOGUE = re.compile(rb"<(\?xml|!doctype)", re.IGNORECASE)
# Bytes that no 8-bit text has (WHATWG MIME Sniffing, section 3, "binary data byte").
_BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_BEFORE_MARKUP = "\ufeff\u2060\u200b"
# By byte order mark, the longer first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CSV_LINES = 50


def text_type_of(head: bytes, *, complete: bool) -> tuple[str, str | None] | None:
    """Return content type and encoding of text that begins with `head`; None if it isn't text.

    The encoding is known for Unicode only: 8-bit encodings can't be distinguished.
    """
    decoded, charset = _decoded(head, complete=complete)
    if decoded is None:
        return None
    markup = _markup_type(decoded)
    if markup is not None:
        return markup, charset
    if charset == "utf-8" and _is_json(decoded.lstrip("\ufeff \t\r\n"), complete=complete):
        return "application/json", None  # always UTF-8 (RFC 8259, section 8.1)
    return "text/csv" if _is_csv(decoded, complete=complete) else "text/plain", charset


def _markup_type(decoded: str) -> str | None:
    """Return the type of markup that a browser might run, or of XML; None for other text."""
    markup = re.sub(rf"^[\s{_BEFORE_MARKUP}]+", "", decoded).encode("utf-8", "replace")
    if not markup.startswith(b"<"):
        return None
    if _SVG.search(markup):
        return "image/svg+xml"
    if _HTML.match(markup) or _XHTML in markup:
        return "text/html"
    if _PROLOGUE.match(markup):
        return "text/html" if _HTML.search(markup) else "application/xml"
    return None


def _decoded(head: bytes, *, complete: bool) -> tuple[str | None, str | None]:
    """Return the text and its encoding. 8-bit text is read as Latin-1, which finds markup, because that is ASCII."""
    marked = next((charset for mark, charset in _MARKS if head.startswith(mark)), None)
    if marked is not None:
        return _without_controls(_try_decode(head, marked, complete=complete)), marked
    text = _try_decode(head, "utf-8-sig", complete=complete)
    charset = "utf-8" if text is not None else None
    return _without_controls(head.decode("latin-1") if text is None else text), charset


def _without_controls(text: str | None) -> str | None:
    return None if text is None or _BINARY.search(text) else text


def _try_decode(head: bytes, encoding: str, *, complete: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head, final=complete)
    except UnicodeDecodeError:
        return None


def _is_json(text: str, *, complete: bool) -> bool:
    if not text.startswith(("{", "[")):
        return False
    if not complete:
        return bool(re.match(r'\{\s*"|\[\s*(?:["{\[\d-]|true|false|null)', text))
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_csv(text: str, *, complete: bool) -> bool:
    """Detect a table: at least two rows, all with the same number of cells, two or more."""
    lines = text.splitlines()
    if not complete:
        lines = lines[:-1]
    return any(_is_table(lines[:_CSV_LINES], delimiter) for delimiter in ",;\t")


def _is_table(lines: list[str], delimiter: str) -> bool:
    try:
        widths = {len(row) for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter) if row}
    except csv.Error:
        return False
    return len(lines) > 1 and len(widths) == 1 and widths.pop() > 1
