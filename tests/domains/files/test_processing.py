from pathlib import Path

import pytest

from domains.files.errors import BrokenDocument, SandboxUnavailable, UnsupportedCodec
from domains.files.schemas.rows import ContentRow, RenditionRow
from domains.files.service.processing import ProcessingService
from domains.files.service.rendition_specs import rendition_specs_for
from domains.files.settings import FilesSettings
from shared.ids import new_id
from tests.domains.files.fakes import NOW, FakeContext, FakeFiles, FakeRenderer, FakeStore, transaction

OWNER = new_id()


class ProcessingHarness:
    """A processing service on fakes, with one file in it."""

    def __init__(self, folder: Path, content_type: str) -> None:
        self.files, self.store, self.sandbox = FakeFiles(), FakeStore(), FakeRenderer(folder)
        self.file_id = new_id()
        self.store.objects["blobs/a"] = b"bytes"
        self.files.contents[self.file_id] = ContentRow(
            id=self.file_id,
            name="a",
            size=5,
            content_type=content_type,
            sha256="00",
            status="processing",
            facts={},
            created_at=NOW,
            deleted_at=None,
            storage_key="blobs/a",
        )
        for spec in rendition_specs_for(content_type):
            self.files.made[self.file_id, spec.name] = RenditionRow(
                file_id=self.file_id,
                name=spec.name,
                status="pending",
                content_type=spec.content_type,
                storage_key=spec.storage_key(self.file_id),
                size=None,
                sha256=None,
                facts={},
                problem=None,
                updated_at=NOW,
            )
        self.service = ProcessingService(
            settings=FilesSettings(),
            transaction=transaction,
            files=self.files,
            store=self.store,
            sandbox=self.sandbox,
        )

    async def process(self, context: FakeContext | None = None) -> FakeContext:
        context = context or FakeContext()
        await self.service.process(self.file_id, OWNER, context)
        return context

    def states(self) -> dict[str, str]:
        return {name: row.status for (_, name), row in self.files.made.items()}


async def test_each_rendition_is_made_stored_and_told_of(tmp_path):
    harness = ProcessingHarness(tmp_path, "image/png")
    context = await harness.process()
    assert harness.states() == {"thumb": "ready", "small": "ready", "large": "ready"}
    assert harness.store.objects[f"renditions/{harness.file_id}/thumb"] == b"made thumb"
    assert harness.store.objects[f"renditions/{harness.file_id}/large"] == b"made large"
    assert harness.files.made[harness.file_id, "small"].facts == {"width": 1, "height": 2}
    assert harness.files.statuses[-1] == "ready"
    assert context.result == {"file_id": str(harness.file_id), "width": 1, "height": 2}
    assert [step[0] for step in context.steps] == [0, 1, 2]


async def test_a_picture_is_decoded_once_for_all_its_renditions(tmp_path):
    harness = ProcessingHarness(tmp_path, "image/png")
    await harness.process()
    assert harness.sandbox.asked == ["measure_image", "thumb,small,large"]


async def test_renditions_of_damaged_data_say_so(tmp_path):
    harness = ProcessingHarness(tmp_path, "image/jpeg")
    harness.sandbox.damaged = True
    await harness.process()
    assert harness.files.made[harness.file_id, "thumb"].facts == {"width": 1, "height": 2, "damaged": True}


async def test_facts_stay_when_nothing_can_be_made(tmp_path):
    harness = ProcessingHarness(tmp_path, "image/heic")
    harness.sandbox.errors["thumb,small,large"] = UnsupportedCodec()
    with pytest.raises(UnsupportedCodec):
        await harness.process()
    assert harness.files.facts == {"width": 1, "height": 2}
    assert harness.files.made[harness.file_id, "large"].problem["code"] == "files.unsupported_codec"


async def test_the_text_of_a_document_becomes_searchable(tmp_path):
    harness = ProcessingHarness(tmp_path, "application/pdf")
    await harness.process()
    assert harness.files.texts == {harness.file_id: "made text"}


async def test_run_again_it_only_makes_what_is_missing(tmp_path):
    harness = ProcessingHarness(tmp_path, "application/pdf")
    harness.sandbox.errors["text"] = SandboxUnavailable()
    with pytest.raises(SandboxUnavailable):
        await harness.process()
    assert harness.states() == {"preview": "ready", "text": "pending"}
    harness.sandbox.errors.clear()
    harness.sandbox.asked.clear()
    await harness.process(FakeContext(attempt=2))
    assert harness.sandbox.asked == ["measure_document", "text"]
    assert set(harness.states().values()) == {"ready"}


async def test_broken_input_fails_the_job_and_leaves_the_file_ready_with_the_problem(tmp_path):
    harness = ProcessingHarness(tmp_path, "application/pdf")
    harness.sandbox.errors["measure_document"] = BrokenDocument()
    with pytest.raises(BrokenDocument):
        await harness.process()
    assert set(harness.states().values()) == {"failed"}
    assert harness.files.made[harness.file_id, "text"].problem["code"] == "files.broken_document"
    assert harness.files.statuses[-1] == "ready"


async def test_a_failed_rendition_is_tried_anew_when_the_job_is_retried(tmp_path):
    harness = ProcessingHarness(tmp_path, "application/pdf")
    harness.sandbox.errors["preview"] = BrokenDocument()
    with pytest.raises(BrokenDocument):
        await harness.process()
    harness.sandbox.errors.clear()
    await harness.process()
    assert set(harness.states().values()) == {"ready"}


async def test_the_last_attempt_settles_the_file_whatever_failed(tmp_path):
    harness = ProcessingHarness(tmp_path, "image/png")
    harness.sandbox.errors["measure_image"] = SandboxUnavailable()
    with pytest.raises(SandboxUnavailable):
        await harness.process(FakeContext(attempt=5))
    assert set(harness.states().values()) == {"failed"}
    assert harness.files.statuses[-1] == "ready"


async def test_a_cancelled_job_stops_before_the_next_rendition(tmp_path):
    harness = ProcessingHarness(tmp_path, "application/pdf")
    context = FakeContext()
    harness.sandbox.on_ask = lambda: setattr(context, "cancelled", "preview" in harness.sandbox.asked)
    await harness.process(context)
    assert harness.states() == {"preview": "ready", "text": "failed"}
    assert harness.files.made[harness.file_id, "text"].problem["code"] == "files.work_cancelled"
    assert context.result is None


async def test_a_file_that_was_purged_before_needs_nothing(tmp_path):
    harness = ProcessingHarness(tmp_path, "image/png")
    harness.files.contents.clear()
    await harness.process()
    assert harness.sandbox.asked == []


async def test_a_file_that_was_purged_meanwhile_leaves_no_rendition(tmp_path):
    harness = ProcessingHarness(tmp_path, "image/png")
    harness.sandbox.on_ask = harness.files.made.clear
    await harness.process()
    assert list(harness.store.objects) == ["blobs/a"]
