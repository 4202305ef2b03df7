import io
import zipfile

import pytest
from PIL import Image

from domains.files.gateway.sniffing import sniff

WEB = "http://www.w3.org"
PDF_BODY = b"%PDF-1.4\n1 0 obj<<>>endobj\n"


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
    assert sniff(picture(kind), complete=True) == (f"image/{kind}", None)


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
    assert sniff(head, complete=True)[0] == kind


def test_a_cut_character_at_the_end_of_the_head_is_no_fault():
    assert sniff("ä".encode()[:1], complete=False) == ("text/plain", "utf-8")
    assert sniff(b'{"a": "' + "ä".encode() * 10 + b"\xc3", complete=False) == ("application/json", None)


def test_a_known_but_rare_format_comes_from_the_catalogue():
    assert sniff(b"SQLite format 3\x00" + bytes(100), complete=True) == ("application/x-sqlite3", None)


def brands(major: bytes, *compatible: bytes) -> bytes:
    """Return the first box of an ISO base media file."""
    content = major + bytes(4) + b"".join(compatible)
    return (8 + len(content)).to_bytes(4, "big") + b"ftyp" + content + bytes(100)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        pytest.param(brands(b"miaf", b"avif", b"mif1"), "image/avif", id="AVIF by a compatible brand"),
        pytest.param(
            brands(b"mif1", b"mif1", b"miaf", b"avif"), "image/avif", id="AVIF that begins generally"
        ),
        pytest.param(brands(b"mif1", b"miaf", b"heic"), "image/heic", id="HEIC by a compatible brand"),
        pytest.param(brands(b"avis", b"msf1", b"heic"), "image/avif", id="a sequence by its major brand"),
        pytest.param(brands(b"heix", b"mif1"), "image/heic", id="HEIC of ten bits"),
        pytest.param(brands(b"isom", b"avif"), "video/mp4", id="a video"),
        pytest.param(b"The ftyp box is the first one of a file.", "text/plain", id="text about a box"),
        pytest.param(b"RIFF and other formats: a history", "text/plain", id="text about a format"),
        pytest.param(b"ID3 tags and how to read them", "text/plain", id="text about tags"),
        pytest.param(b"BZh is how a file of bzip2 begins", "text/plain", id="text about an archive"),
        pytest.param("ясно, что это текст".encode("cp1251"), "text/plain", id="text that begins like audio"),
        pytest.param(b"\n" + PDF_BODY, "application/pdf", id="a PDF behind an empty line"),
        pytest.param(b"\xef\xbb\xbf" + PDF_BODY, "application/pdf", id="a PDF behind a byte order mark"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + PDF_BODY, "application/pdf", id="a PDF behind a response"),
        pytest.param(b"\xff\x00" * 512 + PDF_BODY, "application/pdf", id="a PDF behind 1,024 bytes"),
        pytest.param(b"x" * 1025 + PDF_BODY, "text/plain", id="a PDF behind too much"),
        pytest.param(b"A file that begins with %PDF-1.7 is a PDF.", "text/plain", id="text about PDF"),
        pytest.param(b"<html>" + PDF_BODY, "text/html", id="HTML in front of a PDF"),
        pytest.param(b"\xff\xfb\x90\x64\x00\x00", "audio/mpeg", id="audio without tags"),
    ],
)
def test_what_stands_first_is_not_believed_alone(head, kind):
    assert sniff(head, complete=True)[0] == kind


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        ("price 12,00 \u20ac", "cp1252", None),
        ("W\u00f6rter, gr\u00fc\u00dfe", "latin-1", None),
        ("P\u0159\u00edli\u0161 \u017elu\u0165ou\u010dk\u00fd k\u016f\u0148", "cp1250", None),
        ("\u043f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "koi8-r", None),
        ("\u043f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "cp1251", None),
        ("\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5", "iso8859-7", None),
        ("\u05e9\u05dc\u05d5\u05dd", "cp1255", None),
        ("\u0645\u0631\u062d\u0628\u0627", "cp1256", None),
        ("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "cp874", None),
        ("\u58f2\u4e0a\u30c0\u30c3\u30b7\u30e5\u30dc\u30fc\u30c9", "shift_jis", None),
        ("\u58f2\u4e0a", "euc_jp", None),
        ("\u6570\u636e\u5e93", "gb18030", None),
        ("\u6578\u64da\u5eab", "big5", None),
        ("\ubc88\uc5ed\uc744 \ubd80\ud0c1\ud574", "euc_kr", None),
        ("words", "utf-8", "utf-8"),
        ("\u6570\u636e\u5e93", "utf-8", "utf-8"),
        ("\u6570\u636e\u5e93", "utf-8-sig", "utf-8"),
        ("\u6570\u636e\u5e93 \U0001f600", "utf-16", "utf-16"),
        ("\ufeffwords", "utf-16-be", "utf-16"),
        ("words", "utf-32", "utf-32"),
    ],
)
def test_text_is_text_in_whatever_encoding_and_only_unicode_is_named(text, encoding, charset):
    assert sniff(text.encode(encoding), complete=True) == ("text/plain", charset)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize(
    ("markup", "kind"),
    [
        ("<html><script>alert(1)</script>", "text/html"),
        (" \r\n\t\x0c <SCRIPT>alert(1)</SCRIPT>", "text/html"),
        ("<!-- a comment --><script>", "text/html"),
        ("<?xml version='1.0'?>" + " " * 5000 + "<html>", "text/html"),
        (f"<?xml version='1.0'?><x:y xmlns:x='{WEB}/1999/xhtml'/>", "text/html"),
        ("<svg onload='alert(1)'/>", "image/svg+xml"),
        ("<!-- a comment --><svg onload='alert(1)'/>", "image/svg+xml"),
        ("<?xml version='1.0'?>" + "<!-- -->" * 1000 + "<svg/>", "image/svg+xml"),
        (f"<a-b:c xmlns:a-b='{WEB}/2000/svg'/>", "image/svg+xml"),
        (f"<g xmlns='{WEB}/2000/svg'><script>alert(1)</script></g>", "image/svg+xml"),
    ],
)
def test_markup_that_a_browser_would_run_is_told_in_every_encoding(markup, kind, encoding):
    assert sniff((markup + " \u00e9").encode(encoding), complete=True)[0] == kind


@pytest.mark.parametrize(
    "data", ["<html>".encode("utf-16-le"), "<html>".encode("utf-16-be"), b"\x00<script>"]
)
def test_markup_in_no_encoding_is_no_text(data):
    assert sniff(data * 20, complete=True)[0] == "application/octet-stream"


def test_json_in_another_encoding_than_utf_8_is_text():
    assert sniff('{"a": 1}'.encode("utf-16"), complete=True) == ("text/plain", "utf-16")
