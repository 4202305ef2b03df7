"""Every file of the corpus through the sandboxed process: type, facts, text and pixels, or its problem."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from domains.files.gateway.sandbox import Sandbox
from domains.files.gateway.sniffing import sniff
from domains.files.settings import FilesSettings
from shared.errors import AppError
from tests.domains.files.corpus import pdfs
from tests.domains.files.corpus.cases import Case
from tests.domains.files.corpus.documents import DOCUMENTS
from tests.domains.files.corpus.pictures import PICTURES
from tests.domains.files.test_budgets import BOUNDS

CASES = (*PICTURES, *DOCUMENTS)
EDGE = 64


@pytest.fixture(scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory):
    made = Sandbox(FilesSettings(files_scratch_folder=tmp_path_factory.mktemp("corpus")))
    yield made
    await made.stop()


class Opened:
    """What the confined process makes of one file, as the job would have it made."""

    def __init__(self, sandbox: Sandbox, source: Path, content_type: str) -> None:
        self.sandbox, self.source, self.content_type = sandbox, source, content_type
        self.facts: dict = {}
        self.damaged = False
        self.text: str | None = None
        self.picture: Image.Image | None = None

    async def open(self) -> None:
        is_document = self.content_type == "application/pdf"
        self.facts = await self.ask(
            self.sandbox.perform, "measure_document" if is_document else "measure_image"
        )
        if is_document:
            told, made = await self.ask(self.sandbox.make, "extract_text")
            self.damaged = told["damaged"]
            self.text = made.decode()
            _, made = await self.ask(self.sandbox.make, "render_document", size=EDGE)
        else:
            told, made = await self.ask(self.sandbox.make, "render_image", sizes=[EDGE, 2048])
            self.damaged = told["damaged"]
            made = made[: told["pictures"][0]["bytes"]]
        self.picture = Image.open(io.BytesIO(made))

    async def ask(self, question, operation: str, **more):
        return await question(operation, source=self.source, content_type=self.content_type, **BOUNDS, **more)


def difference(made: Image.Image, expected: Image.Image) -> float:
    """Return the mean difference of a channel, on white."""
    flat = []
    for picture in (made, expected.resize(made.size, Image.Resampling.BOX)):
        white = Image.new("RGBA", picture.size, "white")
        flat.append(Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB"))
    return max(ImageStat.Stat(ImageChops.difference(*flat)).mean)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_what_comes_out_of_a_file_is_what_is_in_it(sandbox, tmp_path, case: Case):
    data, problem = case.make(), None
    assert sniff(data, complete=True)[0] == case.type
    async with sandbox.workspace() as folder:
        (folder / "source").write_bytes(data)
        opened = Opened(sandbox, folder / "source", case.type)
        try:
            await opened.open()
        except AppError as error:
            problem = error.code
    assert (problem, opened.facts, opened.damaged) == (case.problem, case.facts, case.damaged)
    if case.text is not None:
        assert opened.text == case.text
    if case.shown is not None:
        assert difference(opened.picture, case.shown()) <= case.allowed


@pytest.mark.parametrize("appearance", [True, False])
async def test_what_was_filled_into_a_form_is_in_its_preview(sandbox, appearance):
    dark = []
    for value in (b"", b"FILLED quagga"):
        async with sandbox.workspace() as folder:
            source = folder / "source"
            source.write_bytes(pdfs.form(value, appearance=appearance))
            _, made = await sandbox.make("render_document", source=source, size=400)
        histogram = Image.open(io.BytesIO(made)).convert("L").histogram()
        dark.append(sum(histogram[:100]))
    assert dark[0] == 0
    assert dark[1] > 500


def test_there_are_many_of_them():
    assert len(CASES) >= 90
    assert len({case.name for case in CASES}) == len(CASES)
