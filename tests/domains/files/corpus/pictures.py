"""Pictures of every type, depth, colour space and orientation, also truncated and padded, and expected pixels."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps

from tests.domains.files.corpus.cases import Case

WIDTH, HEIGHT = 96, 64
SIZE = {"width": WIDTH, "height": HEIGHT}
ORIENTATION = 0x0112
DATA = Path(__file__).parents[3] / "data"


def scene(mode: str = "RGB") -> Image.Image:
    """Return a picture with no symmetry: red grows to the right, green downwards; alpha grows to the right."""
    red = Image.linear_gradient("L").rotate(90).resize((WIDTH, HEIGHT))
    green = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    colours = Image.merge("RGB", (red, green, Image.new("L", red.size, 64)))
    if mode in {"RGBA", "LA"}:
        colours.putalpha(red)
    return colours.convert(mode)


def saved(kind: str, mode: str = "RGB", *, picture: Image.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (picture or scene(mode)).save(out, kind, **options)
    return out.getvalue()


def oriented(number: int, kind: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return saved(kind, exif=exif, **options)


def upright(number: int) -> Image.Image:
    """Return the scene as Pillow turns it."""
    with Image.open(io.BytesIO(oriented(number, "PNG"))) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def animated(kind: str, **options: object) -> bytes:
    others = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("blue", "white")]
    return saved(kind, save_all=True, append_images=others, **options)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_png() -> bytes:
    """Return the scene in 16 bits a channel, which Pillow can't write."""
    rows = b"".join(
        b"\0"
        + b"".join(struct.pack(">H", 257 * value) for value in scene().crop((0, y, WIDTH, y + 1)).tobytes())
        for y in range(HEIGHT)
    )
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def deep_grey() -> Image.Image:
    """Return the scene in grey of 16 bits: each byte twice."""
    values = scene("L").tobytes()
    return Image.frombytes(
        "I;16", (WIDTH, HEIGHT), bytes(byte for value in values for byte in (value, value))
    )


def red_pixel() -> Image.Image:
    return Image.new("RGB", (1, 1), "red")


def one_pixel() -> bytes:
    return saved("JPEG", picture=red_pixel(), quality=95)


def odd_scan() -> bytes:
    """Return a JPEG whose scan says that it has one coefficient of each block, as some cameras write it."""
    data = bytearray(saved("JPEG", quality=95))
    start = data.index(b"\xff\xda") + 2
    data[start + int.from_bytes(data[start : start + 2], "big") - 2] = 0
    return bytes(data)


def lost_restart() -> bytes:
    return saved("JPEG", quality=95, restart_marker_rows=1).replace(b"\xff\xd1", b"", 1)


def with_bad_note(data: bytes) -> bytes:
    """Return a PNG with a comment whose checksum is wrong, behind its header."""
    note = bytearray(chunk(b"tEXt", b"Comment\0x"))
    note[-1] ^= 0xFF
    return data[:33] + bytes(note) + data[33:]


def swapped_profile() -> bytes:
    """Return an ICC profile (ICC.1:2001-04) whose red is what sRGB calls green, and its green the red."""
    red, green, blue = (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, int(2.2 * 256))
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(*green),
        b"gXYZ": xyz(*red),
        b"bXYZ": xyz(*blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
    }
    table, body = b"", b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += padded
    head = (
        struct.pack(">I4xI", 132 + len(table) + len(body), 0x02100000) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    )
    head += bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))


def swapped() -> Image.Image:
    red, green, blue = scene().split()
    return Image.merge("RGB", (green, red, blue))


def cut(data: bytes, part: float) -> bytes:
    return data[: int(len(data) * part)]


def row(name: str, make: Callable[[], bytes], kind: str, **more: object) -> Case:
    """Return a row of a picture that looks like the scene, unless it says otherwise."""
    values = {"facts": SIZE, "shown": scene} | more
    return Case(name, make, f"image/{kind}", **values)


def turned(number: int, make: Callable[[], bytes], kind: str) -> Case:
    picture = upright(number)
    facts = {"width": picture.width, "height": picture.height}
    return row(f"{kind} orientation {number}", make, kind, facts=facts, shown=lambda: picture)


def grey() -> Image.Image:
    return scene("L")


def bits() -> Image.Image:
    return scene("L").point(lambda value: 255 * (value > 80))


def alpha() -> Image.Image:
    return scene("RGBA")


BROKEN = {"facts": SIZE, "shown": None, "problem": "files.broken_document"}
NO_FACTS = BROKEN | {"facts": {}}
ICC = swapped_profile()

PICTURES = (
    *(
        turned(number, lambda number=number: oriented(number, "JPEG", quality=95), "jpeg")
        for number in range(1, 9)
    ),
    *(
        turned(6, lambda kind=kind: oriented(6, kind), kind.lower())
        for kind in ("PNG", "WEBP", "TIFF", "AVIF")
    ),
    row("jpeg grey", lambda: saved("JPEG", "L"), "jpeg", shown=grey),
    row("jpeg cmyk", lambda: saved("JPEG", "CMYK", quality=95), "jpeg"),
    row("jpeg progressive", lambda: saved("JPEG", progressive=True, quality=95), "jpeg"),
    row("jpeg full chroma", lambda: saved("JPEG", quality=95, subsampling=0), "jpeg"),
    row("jpeg profile", lambda: saved("JPEG", quality=95, icc_profile=ICC), "jpeg", shown=swapped, allowed=6),
    row("jpeg no end", lambda: saved("JPEG", quality=95)[:-2], "jpeg"),
    row("jpeg no end progressive", lambda: saved("JPEG", quality=95, progressive=True)[:-2], "jpeg"),
    row("jpeg half an end", lambda: saved("JPEG", quality=95)[:-1], "jpeg"),
    row("jpeg padded", lambda: saved("JPEG", quality=95) + bytes(1000), "jpeg"),
    row("jpeg cut", lambda: cut(saved("JPEG", quality=95), 0.8), "jpeg", damaged=True, shown=None),
    row(
        "jpeg early end",
        lambda: cut(saved("JPEG", quality=95), 0.8) + b"\xff\xd9",
        "jpeg",
        damaged=True,
        shown=None,
    ),
    row(
        "jpeg one pixel",
        one_pixel,
        "jpeg",
        facts={"width": 1, "height": 1},
        shown=red_pixel,
    ),
    row("jpeg odd scan", odd_scan, "jpeg"),
    row(
        "jpeg odd revision", lambda: saved("JPEG", quality=95).replace(b"JFIF\0\1", b"JFIF\0\x09", 1), "jpeg"
    ),
    row(
        "jpeg bytes between",
        lambda: saved("JPEG", quality=95).replace(b"\xff\xda", b"\0\0\xff\xda", 1),
        "jpeg",
    ),
    row("jpeg lost restart", lost_restart, "jpeg", damaged=True, shown=None),
    row("jpeg header alone", lambda: saved("JPEG")[:200], "jpeg", **NO_FACTS),
    row("png", lambda: saved("PNG"), "png"),
    row("png alpha", lambda: saved("PNG", "RGBA"), "png", shown=lambda: scene("RGBA")),
    row("png grey", lambda: saved("PNG", "L"), "png", shown=grey),
    row("png grey alpha", lambda: saved("PNG", "LA"), "png", shown=lambda: scene("LA")),
    row("png palette", lambda: saved("PNG", picture=scene().quantize(256)), "png", allowed=8),
    row("png bits", lambda: saved("PNG", picture=bits().convert("1")), "png", shown=bits, allowed=12),
    row("png 16 bits", deep_png, "png"),
    row(
        "png 16 bits grey",
        lambda: saved("PNG", picture=deep_grey()),
        "png",
        shown=grey,
    ),
    row("png profile", lambda: saved("PNG", icc_profile=ICC), "png", shown=swapped, allowed=6),
    row("png no end", lambda: saved("PNG")[:-12], "png"),
    row("png bad note", lambda: with_bad_note(saved("PNG")), "png"),
    row("png padded", lambda: saved("PNG") + b"behind", "png"),
    row("png cut", lambda: cut(saved("PNG"), 0.7), "png", damaged=True, shown=None),
    row("webp", lambda: saved("WEBP", quality=95), "webp"),
    row("webp lossless", lambda: saved("WEBP", lossless=True), "webp"),
    row(
        "webp alpha",
        lambda: saved("WEBP", "RGBA", lossless=True, exact=True),
        "webp",
        shown=lambda: scene("RGBA"),
    ),
    row(
        "webp profile",
        lambda: saved("WEBP", lossless=True, icc_profile=ICC),
        "webp",
        shown=swapped,
        allowed=6,
    ),
    row("webp frames", lambda: animated("WEBP", lossless=True), "webp"),
    row("webp cut", lambda: saved("WEBP")[:-2], "webp", **NO_FACTS),
    row("gif", lambda: saved("GIF"), "gif", allowed=8),
    row("gif frames", lambda: animated("GIF"), "gif", allowed=8),
    row("gif no end", lambda: saved("GIF")[:-1], "gif", allowed=8),
    row("gif cut", lambda: cut(saved("GIF"), 0.8), "gif", damaged=True, shown=None),
    row("tiff", lambda: saved("TIFF"), "tiff"),
    row("tiff lzw", lambda: saved("TIFF", compression="tiff_lzw"), "tiff"),
    row("tiff deflate", lambda: saved("TIFF", compression="tiff_adobe_deflate"), "tiff"),
    row("tiff jpeg", lambda: saved("TIFF", compression="jpeg", quality=95), "tiff"),
    row(
        "tiff fax",
        lambda: saved("TIFF", picture=bits().convert("1"), compression="group4"),
        "tiff",
        shown=bits,
        allowed=12,
    ),
    row("tiff cmyk", lambda: saved("TIFF", "CMYK"), "tiff", allowed=45),
    row("tiff alpha", lambda: saved("TIFF", "RGBA"), "tiff", shown=lambda: scene("RGBA")),
    row(
        "tiff 16 bits",
        lambda: saved("TIFF", picture=deep_grey()),
        "tiff",
        shown=grey,
    ),
    row("tiff profile", lambda: saved("TIFF", icc_profile=ICC), "tiff", shown=swapped, allowed=6),
    row("tiff pages", lambda: animated("TIFF"), "tiff"),
    row(
        "tiff codec",
        lambda: saved("TIFF", compression="lzma"),
        "tiff",
        shown=None,
        problem="files.unsupported_codec",
    ),
    row("jpeg bad profile", lambda: saved("JPEG", quality=95, icc_profile=b"no profile" * 20), "jpeg"),
    row("jpeg profile of another space", lambda: saved("JPEG", "L", icc_profile=ICC), "jpeg", shown=grey),
    row("jpeg bad notes", lambda: saved("JPEG", quality=95, exif=b"Exif\0\0no notes"), "jpeg"),
    row(
        "png palette alpha",
        lambda: saved("PNG", picture=scene("RGBA").quantize(256)),
        "png",
        shown=alpha,
        allowed=8,
    ),
    row("tiff 32 bits", lambda: saved("TIFF", picture=scene("L").convert("F")), "tiff", shown=grey),
    row("tiff cut", lambda: saved("TIFF")[:-2000], "tiff", damaged=True, shown=None),
    row("avif", lambda: saved("AVIF", quality=95), "avif"),
    row("avif alpha", lambda: saved("AVIF", "RGBA", quality=95), "avif", shown=lambda: scene("RGBA")),
    row("avif full chroma", lambda: saved("AVIF", quality=95, subsampling="4:4:4"), "avif"),
    row("avif general brand", lambda: saved("AVIF", quality=95).replace(b"avif", b"miaf", 1), "avif"),
    row("avif cut", lambda: saved("AVIF")[:-20], "avif", **BROKEN),
    row(
        "heic",
        (DATA / "plain.heic").read_bytes,
        "heic",
        facts={"width": 640, "height": 480},
        shown=None,
        problem="files.unsupported_codec",
    ),
)
