import asyncio
import io
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from domains.files.errors import (
    BrokenDocument,
    ImageTooLarge,
    ParserLimit,
    PasswordRequired,
    SandboxUnavailable,
)
from domains.files.gateway.rendering.pictures import LOADERS
from domains.files.gateway.sandbox import Sandbox
from domains.files.settings import FilesSettings

DATA = Path(__file__).parents[2] / "data"
MIB = 1 << 20


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    made = Sandbox(FilesSettings(files_scratch_folder=tmp_path))
    yield made
    await made.stop()


def of(tmp_path: Path, program: str | None = None, **settings) -> Sandbox:
    chosen = FilesSettings(files_scratch_folder=tmp_path, **settings)
    return Sandbox(chosen) if program is None else Sandbox(chosen, program=(sys.executable, "-c", program))


def noise(width: int, height: int, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


async def render(
    sandbox: Sandbox, data: bytes, content_type: str, *, size: int = 256, max_pixels: int = 40_000_000
):
    async with sandbox.workspace() as folder:
        source, output = folder / "source", folder / "output"
        source.write_bytes(data)
        facts = await sandbox.perform(
            "render_image",
            input=str(source),
            output=str(output),
            content_type=content_type,
            size=size,
            max_pixels=max_pixels,
        )
        return facts, output.read_bytes()


async def test_a_photograph_is_turned_upright_and_stripped(sandbox):
    facts, made = await render(sandbox, (DATA / "astronaut.jpg").read_bytes(), "image/jpeg")
    picture = Image.open(io.BytesIO(made))
    with Image.open(DATA / "astronaut.jpg") as original:
        assert original.getexif()[0x0112] == 6
    assert picture.format == "WEBP"
    assert (picture.width, picture.height) == (facts["width"], facts["height"])
    assert max(picture.size) == 256
    assert (picture.width < picture.height) == (original.height < original.width)
    assert not picture.getexif()
    assert "exif" not in picture.info


async def test_a_small_picture_is_not_enlarged(sandbox):
    facts, _ = await render(sandbox, noise(40, 30, "PNG"), "image/png", size=1024)
    assert facts == {"width": 40, "height": 30}


@pytest.mark.parametrize("content_type", sorted(set(LOADERS) - {"image/heic"}))
async def test_each_type_of_image_is_read(sandbox, content_type):
    facts, _ = await render(sandbox, noise(64, 32, content_type.removeprefix("image/")), content_type)
    assert facts == {"width": 64, "height": 32}


async def test_an_image_is_refused_by_its_header_when_it_has_too_many_pixels(sandbox):
    started = time.monotonic()
    with pytest.raises(ImageTooLarge):
        await render(sandbox, bomb(), "image/png")
    assert time.monotonic() - started < 2


def bomb() -> bytes:
    """Return a PNG that claims 50,000 x 50,000 pixels."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"\xff\xd8\xff nothing", "image/jpeg"),
        (noise(64, 64, "PNG")[:2000], "image/png"),
        (noise(64, 64, "JPEG")[:1000], "image/jpeg"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>", "image/png"),
        (noise(64, 64, "PNG"), "image/jpeg"),
    ],
)
async def test_a_broken_or_mislabelled_image_is_refused(sandbox, data, content_type):
    with pytest.raises(BrokenDocument):
        await render(sandbox, data, content_type)


async def test_a_document_is_counted_read_and_drawn(sandbox):
    async with sandbox.workspace() as folder:
        source, output = folder / "source", folder / "output"
        source.write_bytes((DATA / "bzip2-manual.pdf").read_bytes())
        assert (await sandbox.perform("measure_document", input=str(source)))["pages"] > 10
        drawn = await sandbox.perform("render_document", input=str(source), output=str(output), size=512)
        with Image.open(output) as picture:
            assert picture.size == (drawn["width"], drawn["height"])
        assert max(drawn.values()) == 512
        read = await sandbox.perform(
            "extract_text", input=str(source), output=str(output), max_characters=2000
        )
        assert read == {"characters": 2000, "truncated": True}
        assert "bzip2" in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.4 nothing", b"%PDF-1.4\n1 0 obj<</Pages 1 0 R>>endobj\n%%EOF"]
)
async def test_a_broken_document_is_refused(sandbox, data):
    async with sandbox.workspace() as folder:
        (folder / "source").write_bytes(data)
        with pytest.raises(BrokenDocument):
            await sandbox.perform("measure_document", input=str(folder / "source"))


async def test_a_document_that_needs_a_password_says_so(sandbox):
    encrypted = (
        b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj
3 0 obj<</Filter/Standard/V 1/R 2/O<"""
        + b"00" * 32
        + b">/U<"
        + b"11" * 32
        + b""">/P -4>>endobj
trailer<</Root 1 0 R/Encrypt 3 0 R/ID[<00><00>]>>
"""
    )
    async with sandbox.workspace() as folder:
        (folder / "source").write_bytes(encrypted)
        with pytest.raises(PasswordRequired):
            await sandbox.perform("measure_document", input=str(folder / "source"))


async def test_the_child_has_no_network_no_process_and_no_foreign_file(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the worker")
    assert (await sandbox.perform("probe", input=str(secret)))["works"] == []


async def test_the_confinement_can_be_switched_off(tmp_path):
    sandbox = of(tmp_path, files_sandbox="off")
    secret = tmp_path / "secret"
    secret.write_text("of the worker")
    assert "network" in (await sandbox.perform("probe", input=str(secret)))["works"]
    await sandbox.stop()


async def test_the_child_sees_nothing_of_the_workers_environment(sandbox):
    await sandbox.perform("probe", input="")
    environment = psutil.Process(sandbox._child.pid).environ()
    assert set(environment) == {
        "HOME",
        "LC_ALL",
        "MALLOC_ARENA_MAX",
        "TMPDIR",
        "VIPS_BLOCK_UNTRUSTED",
        "VIPS_CONCURRENCY",
    }


async def test_an_image_that_takes_too_much_memory_is_refused_and_the_next_one_is_served(tmp_path):
    sandbox = of(tmp_path, files_sandbox_memory_bytes=128 * MIB)
    with pytest.raises(ParserLimit):
        await render(
            sandbox, noise(6000, 6000, "JPEG", progressive=True, quality=30), "image/jpeg", size=2048
        )
    facts, _ = await render(sandbox, noise(40, 30, "PNG"), "image/png")
    assert facts == {"width": 40, "height": 30}
    await sandbox.stop()


async def test_a_rendition_larger_than_allowed_is_refused(tmp_path):
    sandbox = of(tmp_path, files_sandbox_output_bytes=65536)
    with pytest.raises(ParserLimit):
        await render(sandbox, noise(2000, 2000, "JPEG"), "image/jpeg", size=2048)
    await sandbox.stop()


READY = (
    "import sys, json; limits = json.loads(sys.stdin.readline()); print('{\"ready\": true}', flush=True); "
)


async def test_a_parser_that_loops_is_ended_by_its_processor_time(tmp_path):
    loop = (
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r})\n{READY}\n"
        "from domains.files.gateway.confinement import grant_cpu_seconds\n"
        "sys.stdin.readline(); grant_cpu_seconds(limits['cpu_seconds'])\nwhile True: pass"
    )
    sandbox = of(tmp_path, loop, files_sandbox_cpu_seconds=1)
    started = time.monotonic()
    with pytest.raises(ParserLimit):
        await sandbox.perform("anything")
    assert time.monotonic() - started < 10


async def test_a_parser_that_hangs_is_ended_by_the_clock(tmp_path):
    sandbox = of(tmp_path, READY + "import time; time.sleep(60)", files_sandbox_seconds=0.3)
    with pytest.raises(ParserLimit):
        await sandbox.perform("anything")
    assert sandbox._child is None


@pytest.mark.parametrize("answer", ["nonsense", "[]", '{"ok": 1', ""])
async def test_a_child_that_talks_nonsense_is_replaced(tmp_path, answer):
    sandbox = of(tmp_path, READY + f"sys.stdin.readline(); print({answer!r}, flush=True)")
    with pytest.raises(ParserLimit):
        await sandbox.perform("anything")
    assert sandbox._child is None


@pytest.mark.parametrize(
    "program",
    [
        'import sys; sys.stdin.readline(); print(\'{"unavailable": "no seccomp"}\', flush=True)',
        "raise SystemExit(1)",
        READY + 'sys.stdin.readline(); print(\'{"failed": "OSError"}\', flush=True)',
    ],
)
async def test_a_machine_that_cannot_confine_refuses_loudly_but_not_for_ever(tmp_path, program):
    sandbox = of(tmp_path, program)
    with pytest.raises(SandboxUnavailable) as refused:
        await sandbox.perform("anything")
    assert not refused.value.permanent
    await sandbox.stop()


async def test_the_child_stays_warm_and_is_replaced_after_its_share_of_work(tmp_path):
    sandbox = of(tmp_path, files_sandbox_operations=2)
    children = []
    for _ in range(3):
        await sandbox.perform("probe", input="")
        children.append(sandbox._child.pid)
    assert children[0] == children[1] != children[2]
    await sandbox.stop()


async def test_the_child_ends_with_the_task_that_waits_for_it(tmp_path):
    sandbox = of(tmp_path, READY + "import time; time.sleep(60)")
    task = asyncio.ensure_future(sandbox.perform("anything"))
    await asyncio.sleep(0.5)
    pid = sandbox._child.pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(pid)


async def test_the_child_dies_when_its_worker_is_killed(tmp_path):
    worker = (
        f"import asyncio, sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from pathlib import Path\n"
        "from domains.files.gateway.sandbox import Sandbox\nfrom domains.files.settings import FilesSettings\n"
        f"sandbox = Sandbox(FilesSettings(files_scratch_folder=Path({str(tmp_path)!r})))\n"
        "async def main():\n"
        "    await sandbox.perform('probe', input='')\n"
        "    print(sandbox._child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", worker, stdout=asyncio.subprocess.PIPE
    )
    child = int(await process.stdout.readline())
    assert psutil.pid_exists(child)
    process.kill()
    await process.wait()
    for _ in range(50):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the child outlived its worker")


async def test_a_workspace_leaves_nothing_and_only_those_of_dead_workers_are_removed(tmp_path):
    stale = tmp_path / "tulou-files-stale"
    stale.mkdir()
    os.utime(stale, (1, 1))
    living, sandbox = of(tmp_path), of(tmp_path)
    async with living.workspace() as theirs:
        os.utime(theirs.parent, (1, 1))
        async with sandbox.workspace() as folder:
            (folder / "source").write_bytes(b"x")
        assert theirs.exists()
    assert not folder.exists()
    assert not stale.exists()
    await sandbox.stop()
    await living.stop()
    assert list(tmp_path.iterdir()) == []
