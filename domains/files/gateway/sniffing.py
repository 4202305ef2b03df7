"""What a file is, told from its first bytes. Nothing that the client says about it is believed."""

import codecs
import csv
import io
import json
import re
from zipfile import BadZipFile

from puremagic import PureError
from puremagic import main as puremagic

HEAD_BYTES = 65_536
"""How many of the first bytes are looked at."""

UNKNOWN = "application/octet-stream"

_OFFICE = "application/vnd.openxmlformats-officedocument"
# Offset and bytes of formats that say what they are. In doubt the longer comes first.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"MThd", "audio/midi"),
    (0, b"OggS", "application/ogg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heic",
    b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime",
}  # fmt: skip
_ZIP_MEMBERS = (
    (b"word/", f"{_OFFICE}.wordprocessingml.document"),
    (b"xl/", f"{_OFFICE}.spreadsheetml.sheet"),
    (b"ppt/", f"{_OFFICE}.presentationml.presentation"),
)
_ZIP_MIME_TYPES = {
    b"application/vnd.oasis.opendocument.text": "application/vnd.oasis.opendocument.text",
    b"application/vnd.oasis.opendocument.spreadsheet": "application/vnd.oasis.opendocument.spreadsheet",
    b"application/vnd.oasis.opendocument.presentation": "application/vnd.oasis.opendocument.presentation",
    b"application/epub+zip": "application/epub+zip",
}
# The tags that make a browser take text for HTML (WHATWG MIME Sniffing, section 7.1), and a few more.
_HTML = re.compile(
    rb"<(!doctype\s+html|html|head|script|iframe|object|embed|h1|div|font|table|style|title|body|form|img|meta|link"
    rb"|svg:|base|a|b|br|p|!--)(?=[\s>/]|$)",
    re.IGNORECASE,
)
_SVG = re.compile(rb"<(?:\w+:)?svg[\s>/]", re.IGNORECASE)
_PROLOGUE = re.compile(rb"<(\?xml|!doctype)", re.IGNORECASE)
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_CSV_LINES = 50
_CONFIDENT = 0.4


def sniff(head: bytes, *, complete: bool) -> str:
    """Return the content type of a file that begins with `head`; `complete` when there is no more of it.

    A file that is two things at once (a GIF that is also a script) is what its first bytes make it.
    """
    if not head:
        return "text/plain"
    return _by_signature(head) or _as_text(head, complete=complete) or _by_catalogue(head)


def _by_signature(head: bytes) -> str | None:
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return _inside_zip(head)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00":
        return "image/bmp"
    return next((kind for offset, magic, kind in _SIGNATURES if head.startswith(magic, offset)), None)


def _inside_zip(head: bytes) -> str:
    """Tell office documents by their first members: names stand in the clear before each of them."""
    if head[30:38] == b"mimetype":
        return next(
            (kind for name, kind in _ZIP_MIME_TYPES.items() if head.startswith(name, 38)), "application/zip"
        )
    if b"[Content_Types].xml" not in head and b"_rels/.rels" not in head:
        return "application/zip"
    return next((kind for folder, kind in _ZIP_MEMBERS if folder in head), "application/zip")


def _as_text(head: bytes, *, complete: bool) -> str | None:
    decoded = _decoded(head, complete=complete)
    if decoded is None:
        return None
    text = decoded.lstrip()
    markup = text[:4096].encode()
    if _SVG.search(decoded.encode()[:4096]) and markup.startswith(b"<"):
        return "image/svg+xml"
    if _HTML.match(markup):
        return "text/html"
    if _PROLOGUE.match(markup):
        return "text/html" if _HTML.search(markup) else "application/xml"
    if _is_json(text, complete=complete):
        return "application/json"
    return "text/csv" if _is_csv(decoded, complete=complete) else "text/plain"


def _decoded(head: bytes, *, complete: bool) -> str | None:
    """Return the text if it is UTF-8, UTF-16 with a byte order mark or, without controls, an 8-bit encoding."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _try_decode(head, "utf-16", complete=complete)
    if _CONTROLS.search(head):
        return None
    text = _try_decode(head, "utf-8-sig", complete=complete)
    return _eight_bit(head) if text is None else text


def _try_decode(head: bytes, encoding: str, *, complete: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head, final=complete)
    except UnicodeDecodeError:
        return None


def _eight_bit(head: bytes) -> str | None:
    """Take mostly printable bytes for Latin-1: spreadsheets still export it."""
    foreign = sum(byte >= 0x80 for byte in head)  # noqa: PLR2004  # what ASCII has not
    text = head.decode("latin-1")
    return text if foreign * 10 <= len(head) and not re.search("[\x7f-\x9f]", text) else None


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
    """Tell a table: at least two rows, all of the same width of two or more."""
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


def _by_catalogue(head: bytes) -> str:
    """Ask a large catalogue of formats; a guess by a few bytes is no answer."""
    try:
        matches = puremagic.magic_string(head)
    except (PureError, BadZipFile, ValueError):
        return UNKNOWN
    return next(
        (each.mime_type for each in matches if each.mime_type and each.confidence >= _CONFIDENT), UNKNOWN
    )
