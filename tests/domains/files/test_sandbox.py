import asyncio
import io
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

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
from domains.files.gateway.rendering.kinds import KINDS
from domains.files.gateway.sandbox import Sandbox
from domains.files.gateway.scratch import Output
from domains.files.settings import FilesSettings

DATA = Path(__file__).parents[2] / "data"
MIB = 1 << 20
BOUNDS = {
    "max_pixels": 40_000_000,
    "max_side": 65_535,
    "max_frames": 1000,
    "max_characters": 1_000_000,
    "max_pages": 1000,
}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    made = Sandbox(FilesSettings(files_scratch_folder=tmp_path))
    yield made
    await made.stop()


def of(tmp_path: Path, program: str | None = None, **settings) -> Sandbox:
    if program is None:
        return Sandbox(FilesSettings(files_scratch_folder=tmp_path, **settings))
    chosen = FilesSettings(files_scratch_folder=tmp_path, files_sandbox="off", **settings)
    return Sandbox(chosen, program=(sys.executable, "-c", program))


def noise(width: int, height: int, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


def blank(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (width, height)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


async def render(
    sandbox: Sandbox, data: bytes, content_type: str, *, size: int = 256, max_pixels: int = 40_000_000
):
    async with sandbox.workspace() as folder:
        source = folder / "source"
        source.write_bytes(data)
        facts, made = await sandbox.make(
            "render_image",
            source=source,
            content_type=content_type,
            sizes=[size],
            **BOUNDS | {"max_pixels": max_pixels},
        )
        (picture,) = facts["pictures"]
        return {"width": picture["width"], "height": picture["height"]}, made


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


@pytest.mark.parametrize("content_type", sorted(set(KINDS) - {"image/heic"}))
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
        (noise(64, 64, "PNG")[:40], "image/png"),
        (noise(64, 64, "JPEG")[:200], "image/jpeg"),
        (noise(64, 64, "WEBP")[:-2], "image/webp"),
        (noise(64, 64, "AVIF")[:-20], "image/avif"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>", "image/png"),
        (noise(64, 64, "PNG"), "image/jpeg"),
    ],
)
async def test_a_broken_or_mislabelled_image_is_refused(sandbox, data, content_type):
    with pytest.raises(BrokenDocument):
        await render(sandbox, data, content_type)


async def test_a_document_is_counted_read_and_drawn(sandbox):
    async with sandbox.workspace() as folder:
        source = folder / "source"
        source.write_bytes((DATA / "bzip2-manual.pdf").read_bytes())
        assert (await sandbox.perform("measure_document", source=source))["pages"] > 10
        drawn, preview = await sandbox.make("render_document", source=source, size=512)
        with Image.open(io.BytesIO(preview)) as picture:
            assert picture.size == (drawn["width"], drawn["height"])
        assert max(drawn.values()) == 512
        read, text = await sandbox.make("extract_text", source=source, **BOUNDS | {"max_characters": 2000})
        assert read == {"characters": 2000, "truncated": True, "damaged": False}
        assert "bzip2" in text.decode()


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.4 nothing", b"%PDF-1.4\n1 0 obj<</Pages 1 0 R>>endobj\n%%EOF"]
)
async def test_a_broken_document_is_refused(sandbox, data):
    async with sandbox.workspace() as folder:
        (folder / "source").write_bytes(data)
        with pytest.raises(BrokenDocument):
            await sandbox.perform("measure_document", source=folder / "source")


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
            await sandbox.perform("measure_document", source=folder / "source")


async def test_the_child_sees_nothing_of_the_workers_environment(sandbox):
    environment = psutil.Process(await sandbox.check()).environ()
    assert set(environment) == {
        "HOME",
        "LC_ALL",
        "MALLOC_ARENA_MAX",
        "TMPDIR",
        "VIPS_BLOCK_UNTRUSTED",
        "VIPS_CONCURRENCY",
        "VIPS_DISC_THRESHOLD",
    }


async def test_an_image_that_takes_too_much_memory_is_refused_and_the_next_one_is_served(tmp_path):
    sandbox = of(tmp_path, files_sandbox_memory_bytes=128 * MIB)
    with pytest.raises(ParserLimit):
        await render(sandbox, blank(6000, 6000), "image/png", size=2048)
    facts, _ = await render(sandbox, noise(40, 30, "PNG"), "image/png")
    assert facts == {"width": 40, "height": 30}
    await sandbox.stop()


async def test_a_rendition_larger_than_allowed_is_refused(tmp_path):
    sandbox = of(tmp_path, files_sandbox_output_bytes=65536)
    with pytest.raises(ParserLimit):
        await render(sandbox, noise(2000, 2000, "JPEG"), "image/jpeg", size=2048)
    await sandbox.stop()


READY = """
import json, sys, time
sys.stdin.readline()
print('{"ready": true}', flush=True)
request = json.loads(sys.stdin.readline())
def answer(**said):
    print(json.dumps({"id": request["id"], **said}), flush=True)
"""
"""A program that is started well, and has been asked the first time."""


async def ask(sandbox: Sandbox) -> dict:
    """Ask for the size of a picture that may be of any size."""
    async with sandbox.workspace() as folder:
        (folder / "source").write_bytes(b"anything")
        return await sandbox.perform(
            "measure_image", source=folder / "source", max_pixels=100, max_frames=1, max_side=1
        )


@pytest.mark.parametrize("threads", [1, 3])
async def test_a_parser_that_loops_is_ended_by_its_processor_time(tmp_path, threads):
    loop = (
        "import threading\ndef loop():\n    while True: pass\n"
        f"for _ in range({threads}): threading.Thread(target=loop).start()"
    )
    sandbox = of(tmp_path, READY + loop, files_sandbox_cpu_seconds=1, files_sandbox_seconds=60)
    started = time.monotonic()
    with pytest.raises(ParserLimit):
        await ask(sandbox)
    assert time.monotonic() - started < 30


async def test_a_parser_that_hangs_is_ended_by_the_clock(tmp_path):
    sandbox = of(tmp_path, READY + "time.sleep(60)", files_sandbox_seconds=0.3)
    with pytest.raises(ParserLimit):
        await ask(sandbox)
    assert sandbox._child is None


async def test_an_answer_that_makes_sense_is_taken(tmp_path):
    sandbox = of(tmp_path, READY + "answer(ok={'width': 10, 'height': 10}); time.sleep(60)")
    assert await ask(sandbox) == {"width": 10, "height": 10}
    await sandbox.stop()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("print('nonsense')", id="no JSON"),
        pytest.param("print('[]')", id="a list"),
        pytest.param("print('[' * 16000)", id="nested"),
        pytest.param("print('{\"ok\": 1')", id="torn"),
        pytest.param("print('')", id="empty"),
        pytest.param('print(\'{"ok": {"width": 1, "height": 1}}\')', id="without the request's number"),
        pytest.param("request['id'] = 'x'; answer(ok={'width': 1, 'height': 1})", id="to another request"),
        pytest.param("answer(ok={'width': '1', 'height': 1})", id="of the wrong type"),
        pytest.param("answer(ok={'width': True, 'height': 1})", id="a truth for a number"),
        pytest.param("answer(ok={'width': 1})", id="incomplete"),
        pytest.param("answer(ok={'width': 1, 'height': 1, 'owner': 'me'})", id="with more facts"),
        pytest.param("answer(ok={'width': 1, 'height': 1}, refused='parser_limit')", id="with two outcomes"),
        pytest.param("answer(ok={'width': -1, 'height': 1})", id="negative"),
        pytest.param("answer(ok={'width': 11, 'height': 10})", id="more than was allowed"),
        pytest.param("answer(ok={'width': 10 ** 5000, 'height': 1})", id="a number of 5,000 digits"),
        pytest.param("answer(refused='other', detail='')", id="an unknown refusal"),
        pytest.param("answer(refused='parser_limit', detail='a' * 501)", id="a long sentence"),
        pytest.param("answer(refused='parser_limit', detail='a\\nb')", id="two lines"),
        pytest.param("answer(ok={'width': 1, 'height': 1}, more='a' * 20000)", id="a long line"),
        pytest.param("[sys.stdout.write('a' * 65536) for _ in range(1 << 20)]", id="a line without an end"),
    ],
)
async def test_a_child_that_answers_nonsense_is_ended(tmp_path, answer):
    sandbox = of(tmp_path, f"{READY}\n{answer}\nsys.stdout.flush(); time.sleep(60)", files_sandbox_seconds=20)
    started = time.monotonic()
    with pytest.raises(ParserLimit):
        await ask(sandbox)
    assert time.monotonic() - started < 15
    assert sandbox._child is None


@pytest.mark.parametrize(
    "program",
    [
        'import sys; sys.stdin.readline(); print(\'{"unavailable": "no seccomp"}\', flush=True)',
        "raise SystemExit(1)",
        READY + "answer(failed='OSError'); time.sleep(60)",
    ],
)
async def test_a_machine_that_cannot_confine_refuses_loudly_but_not_for_ever(tmp_path, program):
    sandbox = of(tmp_path, program)
    with pytest.raises(SandboxUnavailable) as refused:
        await ask(sandbox)
    assert refused.value.reason
    assert refused.value.reason not in refused.value.detail
    assert not refused.value.permanent
    await sandbox.stop()


async def make(sandbox: Sandbox) -> bytes:
    async with sandbox.workspace() as folder:
        (folder / "source").write_bytes(b"anything")
        return (
            await sandbox.make("extract_text", source=folder / "source", max_characters=100, max_pages=1)
        )[1]


MADE = READY + "import os; path = request['output']\n"
SAID = "\nanswer(ok={'characters': 4, 'truncated': False, 'damaged': False}); time.sleep(60)"


async def test_what_is_made_is_read_from_the_file_that_the_worker_made(tmp_path):
    sandbox = of(tmp_path, MADE + "open(path, 'w').write('text')" + SAID)
    assert await make(sandbox) == b"text"
    await sandbox.stop()


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param("os.unlink(path); os.symlink({secret!r}, path)", id="a symbolic link"),
        pytest.param("os.unlink(path); os.link({secret!r}, path)", id="a hard link"),
        pytest.param("os.unlink(path); os.mkfifo(path)", id="a FIFO"),
        pytest.param("os.unlink(path); os.mkdir(path)", id="a folder"),
        pytest.param("os.unlink(path); open(path, 'w').write('text')", id="another file"),
        pytest.param("open(path, 'w').write('text' * 100_000)", id="too much"),
        pytest.param("open(path, 'w').truncate(1 << 40)", id="a sparse file"),
        pytest.param("open(path, 'wb').write(bytes(4))", id="zero bytes"),
        pytest.param("open(path, 'wb').write(b'\\xff' * 4)", id="no UTF-8"),
        pytest.param("open(path, 'w').write('other')", id="other than it says"),
    ],
)
async def test_the_worker_follows_nothing_that_the_child_leaves(tmp_path, leave):
    secret = tmp_path / "secret"
    secret.write_text("text")
    program = MADE + leave.format(secret=str(secret)) + SAID
    sandbox = of(tmp_path, program, files_sandbox_output_bytes=65536)
    with pytest.raises(ParserLimit):
        await make(sandbox)
    assert secret.read_text() == "text"
    await sandbox.stop()


async def test_a_worker_that_read_the_output_by_its_name_would_follow_a_link(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("text")
    sandbox = of(tmp_path, MADE + f"os.unlink(path); os.symlink({str(secret)!r}, path)" + SAID)
    by_name = lambda output, _most: (sandbox._scratch.folder / output.name).read_bytes()  # noqa: E731
    monkeypatch.setattr(Output, "read", by_name)
    assert await make(sandbox) == b"text"
    await sandbox.stop()


async def test_a_rendition_that_is_no_webp_is_refused(tmp_path):
    made = "open(path, 'w').write('<html>'); answer(ok={'width': 1, 'height': 1}); time.sleep(60)"
    sandbox = of(tmp_path, MADE + made)
    with pytest.raises(ParserLimit):
        await render(sandbox, b"anything", "image/png")
    await sandbox.stop()


async def test_the_child_stays_warm_and_is_replaced_after_its_share_of_work(tmp_path):
    sandbox = of(tmp_path, files_sandbox_operations=2)
    children = []
    for _ in range(3):
        await render(sandbox, noise(40, 30, "PNG"), "image/png")
        children.append(sandbox._child.pid)
    assert children[0] == children[1] != children[2]
    await sandbox.stop()


@pytest.mark.parametrize(("shared", "children"), [("off", 3), ("on", 1)])
async def test_no_process_opens_the_files_of_two_people(tmp_path, shared, children):
    sandbox = of(tmp_path, files_sandbox_shared=shared)
    used = []
    for owner in ("a", "a", "b", "a"):
        async with sandbox.workspace(UUID(owner * 32)) as folder:
            (folder / "source").write_bytes(noise(40, 30, "PNG"))
            await sandbox.perform(
                "measure_image", source=folder / "source", content_type="image/png", **BOUNDS
            )
            used.append(sandbox._child.pid)
    assert used[0] == used[1]
    assert len(set(used)) == children
    await sandbox.stop()


async def test_work_goes_on_when_the_scratch_folder_was_removed(tmp_path):
    sandbox = of(tmp_path)
    bounds = {"content_type": "image/png", **BOUNDS}

    async def measure(*, remove: bool = False) -> dict:
        async with sandbox.workspace() as folder:
            (folder / "source").write_bytes(noise(40, 30, "PNG"))
            if remove:
                shutil.rmtree(folder.parent)
            return await sandbox.perform("measure_image", source=folder / "source", **bounds)

    before = await measure()
    with pytest.raises(SandboxUnavailable):
        await measure(remove=True)
    descriptors = psutil.Process().num_fds()
    assert await measure() == before
    shutil.rmtree(sandbox._scratch.folder)
    assert await measure() == before
    assert psutil.Process().num_fds() == descriptors
    await sandbox.stop()


async def test_the_child_ends_with_the_task_that_waits_for_it(tmp_path):
    sandbox = of(tmp_path, READY + "time.sleep(60)")
    task = asyncio.ensure_future(ask(sandbox))
    while sandbox._child is None:
        await asyncio.sleep(0.01)
    pid = sandbox._child.pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(pid)
    await sandbox.stop()


async def test_the_child_dies_when_its_worker_is_killed(tmp_path):
    worker = (
        f"import asyncio, sys; sys.path.insert(0, {str(Path.cwd())!r})\n"
        "from pathlib import Path\n"
        "from domains.files.gateway.sandbox import Sandbox\nfrom domains.files.settings import FilesSettings\n"
        f"sandbox = Sandbox(FilesSettings(files_scratch_folder=Path({str(tmp_path)!r})))\n"
        "async def main():\n"
        "    print(await sandbox.check(), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", worker, stdout=asyncio.subprocess.PIPE
    )
    child = int((await process.stdout.readline()).decode())
    assert psutil.pid_exists(child)
    process.kill()
    await process.wait()
    for _ in range(50):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the child outlived its worker")


async def test_a_fifo_or_link_of_others_in_the_scratch_folder_is_left_alone(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    os.mkfifo(tmp_path / "tulou-files-fifo")
    (tmp_path / "tulou-files-link").symlink_to(kept)
    for name in ("kept", "tulou-files-fifo"):
        os.utime(tmp_path / name, (1, 1))
    sandbox = of(tmp_path)
    async with sandbox.workspace():
        assert kept.exists()
    await sandbox.stop()
    assert len(list(tmp_path.iterdir())) == 3


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
