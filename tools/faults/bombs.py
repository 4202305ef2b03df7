"""Files that attack the program that opens them, each a few kilobytes or megabytes."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable

GIGABYTE = 1 << 30
SIDE = 30_000


def huge_image(number: int) -> bytes:
    """Return a PNG of 900 million pixels in a hundred kilobytes."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((SIDE // 8 + 1) * SIDE), 9)
    chunks = [(b"IHDR", header), (b"tEXt", b"n\0%d" % number), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def circling_document(number: int) -> bytes:
    """Return a PDF whose tree of pages leads back to its root."""
    return _document(
        number,
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R] /Count 1 >>",
    )


def endless_document(number: int) -> bytes:
    """Return a PDF whose page paints a form that paints ten forms, nine deep: a billion strokes."""
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
        b" /Resources << /XObject << /F 5 0 R >> >> >>"
    )
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page,
        _stream(b"", b"/F Do"),
    ]
    for depth in range(9):
        inner = b"/Resources << /XObject << /F %d 0 R >> >>" % (6 + depth)
        parts.append(_stream(b"/Type /XObject /Subtype /Form /BBox [0 0 600 800] " + inner, b"/F Do " * 10))
    parts.append(_stream(b"/Type /XObject /Subtype /Form /BBox [0 0 600 800]", b"0 0 m 600 800 l S " * 10))
    return _document(number, *parts)


def _stream(more: bytes, content: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (more, len(content), content)


def _document(number: int, *objects: bytes) -> bytes:
    body, places = b"%%PDF-1.7\n%% %d\n" % number, []
    for place, item in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (place, item)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    table += b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, len(body))
    return body + table + trailer


def crowded_archive(number: int) -> bytes:
    """Return a zip of 10,000 entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for entry in range(10_000):
            archive.writestr(f"{number}/{entry}", b"")
    return file.getvalue()


def inflating_archive(number: int) -> bytes:
    """Return three gigabytes of zeros, compressed (RFC 1952: members may follow each other)."""
    member = gzip.compress(bytes(64 << 20), mtime=number)
    return member * (3 * GIGABYTE // (64 << 20))


Bomb = Callable[[int], bytes]
OPENED: dict[str, Bomb] = {
    "huge.png": huge_image,
    "circling.pdf": circling_document,
    "endless.pdf": endless_document,
}
"""What a worker opens."""

KEPT: dict[str, Bomb] = {"crowded.zip": crowded_archive, "inflating.gz": inflating_archive}
"""What is kept and never unpacked."""
