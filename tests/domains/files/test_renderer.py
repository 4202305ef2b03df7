"""The renderer's operations, in this process. test_sandbox tests its confinement."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from domains.files.gateway import confinement, linux, renderer
from tests.domains.files.corpus import pdfs

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module", autouse=True)
def _libraries():
    import pyvips

    renderer._prepare_libraries()
    yield
    pyvips.operation_block_set("VipsForeignLoad", False)


def perform(operation: str, source: Path, **arguments):
    request = {
        "operation": operation,
        "input": str(source),
        "output": str(source.with_name("output")),
        "content_type": "image/png",
        "max_pixels": 1_000_000,
        "max_side": 65_535,
        "max_frames": 1000,
        "max_pages": 100,
        "sizes": [64],
        "max_characters": 1_000_000,
        "size": 64,
    }
    return renderer._perform(request | arguments)


def picture(folder: Path, kind: str = "PNG", size: tuple[int, int] = (200, 100), **options) -> Path:
    path = folder / "source"
    Image.new("RGB", size, "red").save(path, kind, **options)
    return path


def test_an_image_is_measured_as_a_person_sees_it(tmp_path):
    assert perform("measure_image", picture(tmp_path)) == {"ok": {"width": 200, "height": 100}}
    orientation = Image.Exif()
    orientation[0x0112] = 6
    lying = picture(tmp_path, "JPEG", exif=orientation)
    assert perform("measure_image", lying, content_type="image/jpeg") == {"ok": {"width": 100, "height": 200}}


def test_an_image_is_rendered_to_fit(tmp_path):
    made = perform("render_image", picture(tmp_path))["ok"]
    assert [(each["width"], each["height"]) for each in made["pictures"]] == [(64, 32)]
    assert not made["damaged"]
    with Image.open(tmp_path / "output") as made:
        assert (made.format, made.size) == ("WEBP", (64, 32))


def test_transparency_and_other_colours_are_kept_or_converted(tmp_path):
    path = tmp_path / "source"
    for mode, kind, content_type in (
        ("RGBA", "PNG", "image/png"),
        ("CMYK", "JPEG", "image/jpeg"),
        ("L", "PNG", "image/png"),
    ):
        Image.new(mode, (80, 80)).save(path, kind)
        (made,) = perform("render_image", path, content_type=content_type)["ok"]["pictures"]
        assert (made["width"], made["height"]) == (64, 64)


def test_too_many_pixels_are_refused(tmp_path):
    answer = perform("render_image", picture(tmp_path, size=(2000, 1000)))
    assert answer["refused"] == "image_too_large"
    assert "2000 x 1000" in answer["detail"]


@pytest.mark.parametrize("operation", ["measure_image", "render_image", "measure_document", "extract_text"])
def test_nonsense_is_refused(tmp_path, operation):
    source = tmp_path / "source"
    source.write_bytes(b"nonsense")
    assert perform(operation, source)["refused"] == "broken_document"


def test_a_document_is_measured_read_and_drawn(tmp_path):
    source = tmp_path / "source"
    source.write_bytes((DATA / "bzip2-manual.pdf").read_bytes())
    pages = perform("measure_document", source)["ok"]["pages"]
    read = perform("extract_text", source)["ok"]
    text = (tmp_path / "output").read_text(encoding="utf-8")
    assert not read["truncated"]
    assert text.count("\f") == pages - 1
    assert len(text) == read["characters"]
    drawn = perform("render_document", source)["ok"]
    assert max(drawn.values()) == 64


def test_a_document_without_pages_says_so(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(pdfs.no_pages())
    assert perform("measure_document", source)["refused"] == "no_pages"


ENCRYPTED = pdfs.page(
    b"",
    more={5: b"<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -4>>" % (b"00" * 32, b"11" * 32)},
    trailer=b"/Encrypt 5 0 R/ID[<00><00>]",
)


@pytest.mark.parametrize(
    ("before", "its_error"), [(ENCRYPTED, "password_required"), (b"%PDF-1.7 nothing", "broken_document")]
)
def test_the_error_of_one_document_is_never_told_of_the_next(tmp_path, before, its_error):
    source = tmp_path / "source"
    for data, reason in (
        (before, its_error),
        (pdfs.no_pages(), "no_pages"),
        (b"%PDF-1.7", "broken_document"),
    ):
        source.write_bytes(data)
        for operation in ("measure_document", "extract_text", "render_document"):
            assert perform(operation, source)["refused"] == reason


def test_the_program_imports_nothing_else_of_tulou_but_normal_forms():
    code = (
        "import sys; from domains.files.gateway import renderer;"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in ('bootstrap', 'domains', 'shared')))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    own = "domains.files.gateway"
    imported = {name for name in printed.split() if not own.startswith(name)}
    others = {name for name in imported if not name.startswith(f"{own}.")}
    assert others == {"shared", "shared.normal_forms"}


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (MemoryError(), "parser_limit"),
        (RuntimeError("jpegload: Insufficient memory (case 4)"), "parser_limit"),
        (RuntimeError("unable to write: File too large"), "parser_limit"),
        (OSError(27, "File too large"), "parser_limit"),
        (RuntimeError("not a known format"), "broken_document"),
        (
            RuntimeError("heif: Support for this compression format has not been built in: HEVC"),
            "unsupported_codec",
        ),
        (RuntimeError("tiff2vips: LZMA compression support is not configured"), "unsupported_codec"),
    ],
)
def test_what_a_parser_says_becomes_an_answer(tmp_path, monkeypatch, error, answer):
    def fail(_request):
        raise error

    monkeypatch.setitem(renderer.OPERATIONS, "measure_image", fail)
    assert perform("measure_image", tmp_path)["refused"] == answer


def test_a_fault_of_the_machine_is_no_refusal(tmp_path, monkeypatch):
    def fail(_request):
        raise OSError(13, "Permission denied")

    monkeypatch.setitem(renderer.OPERATIONS, "measure_image", fail)
    assert perform("measure_image", tmp_path) == {"failed": "PermissionError: Permission denied"}


LIMITS = {
    "confined": True,
    "parent": 1,
    "user": 65533,
    "memory_bytes": 1,
    "output_bytes": 1,
    "cpu_seconds": 7,
    "threads": 1,
}


def test_the_program_confines_itself_before_it_serves(monkeypatch, capsys):
    done = []
    steps = [
        (confinement, "give_up_files"),
        (renderer, "_load_libraries"),
        (confinement, "give_up_capabilities"),
        (renderer, "_prepare_libraries"),
        (confinement, "give_up_the_rest"),
    ]
    for module, name in steps:
        monkeypatch.setattr(module, name, lambda *_, name=name: done.append(name))
    request = {
        "operation": "measure_image",
        "input": "/nothing",
        "content_type": "image/png",
        "max_pixels": 1,
    }
    lines = [LIMITS, {"id": "a", **request}]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(json.dumps, lines))))
    renderer.main()
    ready, answer = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready == {"ready": True}
    assert (answer["id"], answer["refused"]) == ("a", "broken_document")
    assert done == [name for _, name in steps]


def test_the_program_says_why_it_cannot_serve(monkeypatch, capsys):
    def refuse(*_args):
        raise linux.ConfinementUnavailableError("no Landlock here")

    monkeypatch.setattr(confinement, "give_up_files", refuse)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(LIMITS)))
    renderer.main()
    assert json.loads(capsys.readouterr().out) == {"unavailable": "no Landlock here"}
