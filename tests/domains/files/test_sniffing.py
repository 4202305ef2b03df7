import io
import zipfile

import pytest
from PIL import Image

from domains.files.gateway.sniffing import sniff


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "application/epub+zip" if name == "mimetype" else "x")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "tiff", "avif", "bmp"])
def test_a_picture_is_told_from_its_bytes(kind):
    assert sniff(picture(kind), complete=True) == f"image/{kind}"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "text/plain"),
        (b"plain words", "text/plain"),
        ("W\u00f6rter".encode(), "text/plain"),
        ("W\u00f6rter, viele gute alte Worte".encode("latin-1"), "text/plain"),
        ("words".encode("utf-16"), "text/plain"),
        (b"a,b\n1,2\n", "text/csv"),
        (b"a;b\r\n1;2\r\n", "text/csv"),
        (b"one, two\nthree\n", "text/plain"),
        (b'{"a": [1]}', "application/json"),
        (b"{not json}", "text/plain"),
        (b"[" * 100_000, "text/plain"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"<!DOCTYPE html>", "text/html"),
        (b"\n <ScRiPt>alert(1)</script>", "text/html"),
        (b"\xef\xbb\xbf<html>", "text/html"),
        ("<html>".encode("utf-16"), "text/html"),
        (b"<?xml version='1.0'?><html>", "text/html"),
        (b"<?xml version='1.0'?><data/>", "application/xml"),
        (b"<svg onload=alert(1)>", "image/svg+xml"),
        (b"<!doctype SVG><svg/>", "image/svg+xml"),
        (b'<!DOCTYPE svg [<!ENTITY x "y">]><svg/>', "image/svg+xml"),
        (b"<!doctype foo><html><script>alert(1)</script>", "text/html"),
        (b"<?xml version='1.0'?><!-- --><svg xmlns='x'>", "image/svg+xml"),
        (b"<!-- --><svg >", "image/svg+xml"),
        (b"<price> is not a tag", "text/plain"),
        (b"GIF89a/*\x00*/=1;alert(1)", "image/gif"),
        (b"PK\x03\x04nothing else", "application/zip"),
        (archive("a.txt"), "application/zip"),
        (archive("mimetype"), "application/epub+zip"),
        (
            archive("[Content_Types].xml", "word/document.xml"),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (b"\x1f\x8b\x08\x00", "application/gzip"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"RIFF\x00\x00\x00\x00junk", "application/octet-stream"),
        (b"\x00\x00\x00\x18ftypisom", "video/mp4"),
        (b"\x1aE\xdf\xa3\x01webm", "video/webm"),
        (b"\x1aE\xdf\xa3\x01matroska", "video/x-matroska"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\x00\x01\x02\x03", "application/octet-stream"),
        (b"MZ\x90\x00\x03\x00\x00\x00", "application/vnd.microsoft.portable-executable"),
    ],
)
def test_a_type_is_told_from_the_first_bytes(head, kind):
    assert sniff(head, complete=True) == kind


def test_a_cut_character_at_the_end_of_the_head_is_no_fault():
    assert sniff("ä".encode()[:1], complete=False) == "text/plain"
    assert sniff(b'{"a": "' + "ä".encode() * 10 + b"\xc3", complete=False) == "application/json"


def test_a_known_but_rare_format_comes_from_the_catalogue():
    assert sniff(b"SQLite format 3\x00" + bytes(100), complete=True) == "application/x-sqlite3"
