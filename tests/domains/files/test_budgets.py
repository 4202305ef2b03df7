"""A small file that is large to decode is refused by its header, or its processing is ended."""

import io
import struct
import zlib
from pathlib import Path

import psutil
import pytest
from PIL import Image

from domains.files.errors import BrokenDocument, ImageTooLarge, ParserLimit
from domains.files.gateway.sandbox import Sandbox
from domains.files.settings import FilesSettings
from tests.domains.files.corpus import pdfs

MIB = 1 << 20
BOUNDS = {
    "max_pixels": 40_000_000,
    "max_side": 65_535,
    "max_frames": 1000,
    "max_characters": 1 << 20,
    "max_pages": 2000,
}


def png(width: int, height: int, *, depth: int = 8, colours: int = 0, interlaced: bool = False) -> bytes:
    """Return the beginning of a PNG: its header is whole, its pixels are few."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def tiff(pages: int, *, big: bool = False) -> bytes:
    """Return a TIFF of one pixel, so many times."""
    out = bytearray(
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
    )
    fields = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 1), (277, 1), (278, 1), (279, 1)]
    count, field, link = ("<Q", "<HHQQ", "<Q") if big else ("<H", "<HHII", "<I")
    for number in range(pages):
        page = struct.pack(count, len(fields)) + b"".join(
            struct.pack(field, tag, 4, 1, value) for tag, value in fields
        )
        after = len(out) + len(page) + struct.calcsize(link)
        out += page + struct.pack(link, after if number + 1 < pages else 0)
    return bytes(out)


def gif(frames: int) -> bytes:
    frame = b"\x21\xf9\x04\x00\x01\x00\x00\x00," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * frames + b";"


def animation(kind: str, frames: int) -> bytes:
    out = io.BytesIO()
    first, *others = [Image.new("RGB", (2, 2), (number % 256, number // 256, 0)) for number in range(frames)]
    first.save(out, kind, save_all=True, append_images=others, lossless=True)
    return out.getvalue()


def encoded(kind: str, size: tuple[int, int], mode: str = "RGB", **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
async def sandbox(tmp_path: Path):
    made = Sandbox(FilesSettings(files_scratch_folder=tmp_path))
    yield made
    await made.stop()


async def opened(sandbox: Sandbox, data: bytes, content_type: str, operation: str = "render_image"):
    more = {"sizes": [256, 2048]} if operation == "render_image" else {"size": 1024}
    async with sandbox.workspace() as folder:
        source = folder / "source"
        source.write_bytes(data)
        return await sandbox.make(operation, source=source, content_type=content_type, **BOUNDS, **more)


def processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        pytest.param(png(1, 39_999_999), "png", "no side may have", id="one pixel wide"),
        pytest.param(png(39_999_999, 1), "png", "no side may have", id="one pixel high"),
        pytest.param(png(65_536, 1), "png", "no side may have", id="a side that is one pixel too long"),
        pytest.param(png(50_000, 50_000), "png", "pixels, more than", id="too many pixels"),
        pytest.param(
            png(6300, 6300, depth=16, colours=6, interlaced=True), "png", "MiB", id="large in passes"
        ),
        pytest.param(tiff(65_000), "tiff", "1,000 pages", id="many pages"),
        pytest.param(tiff(1001), "tiff", "1,000 pages", id="one page too many"),
        pytest.param(tiff(1001, big=True), "tiff", "1,000 pages", id="one page of a BigTIFF too many"),
        pytest.param(gif(100_000), "gif", "1,000 pages", id="many frames of a GIF"),
        pytest.param(animation("WEBP", 1001), "webp", "1,000 pages", id="many frames of a WebP"),
        pytest.param(encoded("AVIF", (5000, 5000), speed=10), "avif", "MiB", id="a large AVIF"),
    ],
)
async def test_what_is_expensive_is_refused_by_its_header(sandbox, data, kind, says):
    pid = await sandbox.check()
    before = processor_seconds(pid)
    with pytest.raises(ImageTooLarge, match=says):
        await opened(sandbox, data, f"image/{kind}")
    assert processor_seconds(pid) - before < 1
    assert await sandbox.check() == pid


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(tiff(1000), "tiff", id="pages of a TIFF"),
        pytest.param(tiff(1000, big=True), "tiff", id="pages of a BigTIFF"),
        pytest.param(gif(1000), "gif", id="frames of a GIF"),
        pytest.param(animation("WEBP", 1000), "webp", id="frames of a WebP"),
    ],
)
async def test_as_many_frames_as_allowed_are_opened(sandbox, data, kind):
    facts, _ = await opened(sandbox, data, f"image/{kind}")
    assert facts["pictures"][0]["width"] <= 2


async def test_a_chain_of_pages_that_leads_back_to_itself_is_refused(sandbox):
    circle = tiff(1)[:-4] + struct.pack("<I", 8)
    with pytest.raises(ImageTooLarge):
        await opened(sandbox, circle, "image/tiff")


@pytest.mark.parametrize("offset", [(1 << 63) + 8, (1 << 64) - 1, 1 << 40])
async def test_a_page_of_a_picture_that_lies_nowhere_is_damage(sandbox, offset):
    nowhere = struct.pack("<2sHHHQ", b"II", 43, 8, 0, offset) + bytes(100)
    with pytest.raises(BrokenDocument):
        await opened(sandbox, nowhere, "image/tiff")


def test_an_operation_has_ten_seconds_of_processor_time_by_default():
    assert FilesSettings().files_sandbox_cpu_seconds == 10


@pytest.mark.parametrize(
    ("data", "operation"),
    [
        pytest.param(pdfs.tiles(b"0.005"), "render_document", id="tiles"),
        pytest.param(pdfs.multiplied(20), "render_document", id="drawings in drawings"),
        pytest.param(pdfs.multiplied(20), "extract_text", id="text of drawings in drawings"),
        pytest.param(pdfs.inflated(60), "extract_text", id="text that unpacks"),
    ],
)
async def test_a_small_document_that_would_take_minutes_is_ended(tmp_path, data, operation):
    sandbox = Sandbox(FilesSettings(files_scratch_folder=tmp_path, files_sandbox_cpu_seconds=1))
    with pytest.raises(ParserLimit):
        await opened(sandbox, data, "application/pdf", operation)
    await sandbox.stop()


async def test_a_page_that_lies_too_deep_is_damage(sandbox):
    with pytest.raises(BrokenDocument):
        await opened(sandbox, pdfs.deep(20_000), "application/pdf", "render_document")


@pytest.mark.parametrize(
    "box", [b"0 0 1e9 1e9", b"0 0 14400 0.01", b"0 0 1e40 1e40", b"600 800 0 0", b"0 0 0 0", b"-5 -5 nan inf"]
)
async def test_a_page_of_any_size_takes_a_preview_of_bounded_size(sandbox, box):
    facts, _ = await opened(
        sandbox, pdfs.page(b"0 0 9 9 re f", box=box), "application/pdf", "render_document"
    )
    assert max(facts["width"], facts["height"]) <= 1025


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "size", "options"),
    [
        ("JPEG", (6300, 6300), {}),
        ("JPEG", (6300, 6300), {"progressive": True, "subsampling": 0}),
        ("JPEG", (65_500, 610), {}),
        ("PNG", (6300, 6300), {}),
        ("PNG", (65_500, 610), {}),
        ("WEBP", (6300, 6300), {"method": 0}),
        ("GIF", (6300, 6300), {}),
        ("TIFF", (6300, 6300), {}),
        ("AVIF", (4200, 4200), {"speed": 10}),
    ],
)
async def test_the_largest_pictures_take_less_memory_than_there_is(sandbox, kind, size, options):
    pid = await sandbox.check()
    await opened(sandbox, encoded(kind, size, **options), f"image/{kind.lower()}")
    status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240  # no file: the kernel answers
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak")) << 10
    assert peak < 448 * MIB
