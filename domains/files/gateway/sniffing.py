"""Detection of content types from the first bytes. The client's Content-Type is ignored."""

import re
from zipfile import BadZipFile

from puremagic import PureError
from puremagic import main as puremagic

from domains.files.gateway.text_types import text_type_of

HEAD_BYTES = 65_536
"""The number of bytes that are examined."""

UNKNOWN = "application/octet-stream"

_OFFICE = "application/vnd.openxmlformats-officedocument"
# Offset and bytes of magic numbers, the longer ones first.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"fLaC", "audio/flac"),
    (0, b"MThd", "audio/midi"),
    (0, b"OggS", "application/ogg"),
)
# Too short to be distinguished from text, which may begin with any letters.
_SHORT_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"RIFF", UNKNOWN),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
# By brand (ISO/IEC 14496-12, section 4.3); the major one goes before the compatible ones, in this order.
_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif",
    b"heic": "image/heic", b"heix": "image/heic", b"hevc": "image/heic", b"hevx": "image/heic",
    b"heim": "image/heic", b"heis": "image/heic",
    b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime",
    b"mif1": "image/heic", b"msf1": "image/heic",
}  # fmt: skip
_GENERAL_BRANDS = frozenset({b"mif1", b"msf1", b"miaf"})
_LONGEST_FTYP = 4096
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
_PDF = re.compile(rb"%PDF-\d")
_PDF_WITHIN = 1024
_PDF_OBJECT = re.compile(rb"\d\s+\d+\s+obj\b")
_CONFIDENT = 0.4


def sniff(head: bytes, *, complete: bool) -> tuple[str, str | None]:
    """Return content type, and encoding if it is Unicode text, of a file that begins with `head`.

    `complete`: `head` is the whole file. The first bytes decide about a file of two types (a GIF that is a script).
    """
    if not head:
        return "text/plain", None
    kind = _by_signature(head)
    if kind is not None:
        return kind, None
    return text_type_of(head, complete=complete) or (_by_short_signature(head) or _by_catalogue(head), None)


def _by_signature(head: bytes) -> str | None:
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return _inside_zip(head)
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00":
        return "image/bmp"
    known = next((kind for offset, magic, kind in _SIGNATURES if head.startswith(magic, offset)), None)
    return known or _by_brand(head) or _pdf_behind(head)


def _by_short_signature(head: bytes) -> str | None:
    return next((kind for offset, magic, kind in _SHORT_SIGNATURES if head.startswith(magic, offset)), None)


def _by_brand(head: bytes) -> str | None:
    """Return the type of an ISO base media file. The major brand of a picture may be one that all pictures share."""
    length = int.from_bytes(head[:4], "big")
    if head[4:8] != b"ftyp" or not 16 <= length <= _LONGEST_FTYP:  # noqa: PLR2004  # a box with a major brand
        return None
    major, brands = head[8:12], {head[start : start + 4] for start in range(16, min(length, len(head)), 4)}
    if major in _BRANDS and major not in _GENERAL_BRANDS:
        return _BRANDS[major]
    if major in _GENERAL_BRANDS:
        return next((kind for brand, kind in _BRANDS.items() if brand in {major, *brands}), "image/heic")
    return "video/mp4"


def _pdf_behind(head: bytes) -> str | None:
    """Detect a PDF header in the first 1,024 bytes, as PDF readers do (ISO 32000-1, annex H.3.4.1).

    Text that mentions PDFs is no PDF, nor is markup before one.
    """
    header = _PDF.search(head, 0, _PDF_WITHIN + 6)
    if header is None:
        return None
    before = head[: header.start()].strip(b"\xef\xbb\xbf\x00\t\n\x0c\r ")
    is_pdf = not before or (not before.startswith(b"<") and _PDF_OBJECT.search(head, header.end()))
    return "application/pdf" if is_pdf else None


def _inside_zip(head: bytes) -> str:
    """Detect office documents by their first members, whose names are not compressed."""
    if head[30:38] == b"mimetype":
        return next(
            (kind for name, kind in _ZIP_MIME_TYPES.items() if head.startswith(name, 38)), "application/zip"
        )
    if b"[Content_Types].xml" not in head and b"_rels/.rels" not in head:
        return "application/zip"
    return next((kind for folder, kind in _ZIP_MEMBERS if folder in head), "application/zip")


def _by_catalogue(head: bytes) -> str:
    """Look up a large catalogue of formats, ignoring matches of few bytes."""
    try:
        matches = puremagic.magic_string(head)
    except (PureError, BadZipFile, ValueError):
        return UNKNOWN
    return next(
        (each.mime_type for each in matches if each.mime_type and each.confidence >= _CONFIDENT), UNKNOWN
    )
