"""PDFs in every script, rotated, encrypted, truncated, with forms and without pages, and their expected results."""

import hashlib
import struct
from collections.abc import Iterator

from PIL import Image, ImageDraw

from tests.domains.files.corpus import pdfs
from tests.domains.files.corpus.cases import Case

ONE = {"pages": 1}
HELVETICA = {5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"}
FONTS = b"/Font<</F 5 0 R>>"
WORDS = b"BT /F 24 Tf 20 100 Td (some words) Tj ET"
_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_RED_CORNER = b"1 0 0 rg 0 400 300 400 re f 0 0 1 rg 300 0 300 400 re f"


def rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]

    def keystream() -> Iterator[int]:
        i = j = 0
        while True:
            i = (i + 1) % 256
            j = (j + state[i]) % 256
            state[i], state[j] = state[j], state[i]
            yield state[(state[i] + state[j]) % 256]

    return bytes(byte ^ pad for byte, pad in zip(data, keystream(), strict=False))


def encrypted(*, user: bytes, owner: bytes) -> bytes:
    """Return a page that is encrypted with these passwords (ISO 32000-1, section 7.6.3, revision 2)."""

    def padded(password: bytes) -> bytes:
        return (password + _PADDING)[:32]

    def md5(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).digest()

    owner_key = rc4(md5(padded(owner))[:5], padded(user))
    key = md5(padded(user) + owner_key + struct.pack("<i", -4) + b"tulou")[:5]
    content = rc4(md5(key + b"\4\0\0\0\0")[:10], WORDS)
    handler = b"<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -4>>" % (
        owner_key.hex().encode(),
        rc4(key, _PADDING).hex().encode(),
    )
    trailer = b"/Encrypt 6 0 R/ID[<%s><%s>]" % ((b"tulou".hex().encode(),) * 2)
    return pdfs.page(content, resources=FONTS, more=HELVETICA | {6: handler}, trailer=trailer)


def locked_otherwise() -> bytes:
    """Return a page that is encrypted in a way of which no reader knows."""
    return pdfs.page(WORDS, more={6: b"<</Filter/Acme/V 9>>"}, trailer=b"/Encrypt 6 0 R/ID[<00><00>]")


def corner() -> Image.Image:
    """Return how the page with a red upper left and a blue lower right quarter looks."""
    picture = Image.new("RGB", (300, 400), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 149, 199), fill="red")
    draw.rectangle((150, 200, 299, 399), fill="blue")
    return picture


def white() -> Image.Image:
    return Image.new("RGB", (300, 400), "white")


def lying(count: int) -> bytes:
    """Return a document of one page that claims to have more."""
    return words().replace(b"/Count 1>>", b"/Count %d>>" % count)


def red() -> Image.Image:
    return Image.new("RGB", (300, 400), "red")


def script(name: str, *lines: str, text: str | None = None, visual: bool = False) -> Case:
    """Return a row of a document with these lines."""
    expected = "\n".join(lines) if text is None else text
    return Case(
        name, lambda: pdfs.written(*lines, visual=visual), "application/pdf", facts=ONE, text=expected
    )


def row(name: str, make, **more: object) -> Case:
    return Case(name, make, "application/pdf", **({"facts": ONE} | more))


def turned(angle: int) -> Case:
    entries = b"/Rotate %d" % angle
    return row(
        f"turned by {angle}",
        lambda: pdfs.page(_RED_CORNER, entries=entries),
        shown=lambda: corner().rotate(-angle, expand=True),
        text="",
    )


def words(**more: object) -> bytes:
    return pdfs.page(WORDS, resources=FONTS, more=HELVETICA, **more)


FIELD_SCRIPTS = b"/AA<<%s>>" % b"".join(
    b"/%s<</S/JavaScript/JS(event.value='evil'; while\\(true\\){})>>" % event
    for event in (b"F", b"C", b"V", b"PO", b"PV")
)


def form_with(**more: bytes) -> bytes:
    return pdfs.form(b"FILLED quagga", appearance=True, **more)


def script_of(action: bytes) -> bytes:
    catalog = b"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(%s)>>>>" % action
    return pdfs.page(_RED_CORNER, catalog=catalog)


DOCUMENTS = (
    script("latin", "The quick brown fox", "jumps over the lazy dog"),
    script("accents", "Příliš žluťoučký kůň, grüße"),
    script("cyrillic", "Привет мир"),
    script("greek", "Γειά σου Κόσμε"),  # noqa: RUF001  # it is Greek
    script("hebrew", "שלום עולם", visual=True),
    script("arabic", "السلام عليكم", visual=True),
    script("devanagari", "नमस्ते दुनिया"),
    script("thai", "สวัสดีชาวโลก"),
    script("chinese", "这是一个关于数据库备份的测试文档"),
    script("japanese", "今月の売上ダッシュボード"),
    script("korean", "번역을 부탁해"),
    script("emoji", "hi 😀 👨‍👩‍👧 ok"),
    script("combining marks", "cafe\u0301 man\u0303ana", text="café mañana"),
    script("korean in parts", "\u1112\u1161\u11ab", text="한"),
    script("soft hyphen inside", "super\u00adcali", text="supercali"),
    script("soft hyphen at the end", "an exam\u00ad", "ple of it", text="an example of it"),
    script("hyphen at the end", "an exam-", "ple of it", text="an example of it"),
    script("years over two lines", "1990-", "1995"),
    script("noncharacters", "a\uffffb\ufffec\ufdd0d", text="abcd"),
    script("controls", "a\x07b\x85c\x0cd", text="abcd"),
    row(
        "pages",
        lambda: pdfs.pages([WORDS, b"", WORDS], FONTS, HELVETICA),
        facts={"pages": 3},
        text="some words\f\fsome words",
    ),
    row(
        "a page that is not there", lambda: lying(3), facts={"pages": 3}, text="some words\f\f", damaged=True
    ),
    row("empty page", lambda: pdfs.page(b""), text="", shown=white),
    row("corner", lambda: pdfs.page(_RED_CORNER), text="", shown=corner),
    turned(90),
    turned(180),
    turned(270),
    row(
        "half shown",
        lambda: pdfs.page(_RED_CORNER, entries=b"/CropBox[0 400 300 800]"),
        shown=lambda: Image.new("RGB", (300, 400), "red"),
    ),
    row("turned words", lambda: words(entries=b"/Rotate 90"), text="some words"),
    row("line before", lambda: b"\n" + words(), text="some words"),
    row("response before", lambda: b"HTTP/1.1 200 OK\r\n\r\n" + words(), text="some words"),
    row("padded", lambda: words() + bytes(500), text="some words"),
    row(
        "no table",
        lambda: words().partition(b"xref\n")[0],
        text=None,
        facts={},
        problem="files.broken_document",
    ),
    row("cut in half", lambda: words()[:300], facts={}, problem="files.broken_document"),
    row("form with appearance", lambda: pdfs.form(b"FILLED quagga", appearance=True), text="FILLED quagga"),
    row(
        "form without appearance", lambda: pdfs.form(b"FILLED quagga", appearance=False), text="FILLED quagga"
    ),
    row("form with XFA", lambda: form_with(entries=b"/XFA 8 0 R"), text="FILLED quagga"),
    row("form with scripts", lambda: form_with(actions=FIELD_SCRIPTS), text="FILLED quagga"),
    row("script", lambda: script_of(b"app.alert\\(1\\); while\\(true\\){}"), text="", shown=corner),
    row("owner password", lambda: encrypted(user=b"", owner=b"secret"), text="some words"),
    row(
        "user password",
        lambda: encrypted(user=b"secret", owner=b"secret"),
        facts={},
        problem="files.password_required",
    ),
    row("no pages", pdfs.no_pages, facts={}, problem="files.no_pages"),
    row("unknown encryption", locked_otherwise, facts={}, problem="files.unsupported_codec"),
    row("no pages again", pdfs.no_pages, facts={}, problem="files.no_pages"),
)
