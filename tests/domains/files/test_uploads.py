import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from domains.files.errors import (
    DetailsRefused,
    DigestMismatch,
    FileTooLarge,
    QuotaExceeded,
    StoreFull,
    TypeRefused,
    UploadInterrupted,
)
from domains.files.job_types import ERASE, PROCESS
from domains.files.schemas.bodies import FileCreate
from domains.files.service.quota_limits import QuotaLimits
from domains.files.service.uploads import IncomingUpload, UploadService
from domains.files.settings import FilesSettings
from shared.identity import Principal
from shared.ids import new_id
from tests.domains.files.fakes import (
    FakeAccounts,
    FakeFiles,
    FakeFileService,
    FakeOutbox,
    FakeQuotas,
    FakeStorageRepository,
    FakeStore,
    transaction,
)

OWNER = new_id()
MIB = 1 << 20
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class UploadHarness:
    """An upload service on fakes."""

    def __init__(self, **settings) -> None:
        self.store, self.quota, self.outbox = FakeStore(), FakeStorageRepository(), FakeOutbox()
        self.files = FakeFiles(self.quota)
        self.service = UploadService(
            settings=FilesSettings(**settings),
            transaction=transaction,
            files=self.files,
            storage=self.quota,
            store=self.store,
            outbox=self.outbox,
            file_service=FakeFileService(),
            account_lock=FakeAccounts(),
            quota_limits=QuotaLimits(settings=FilesSettings(**settings), quotas=FakeQuotas()),
        )

    async def receive(self, *chunks: bytes, error: BaseException | None = None, **details):
        async def stream() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk
            if error is not None:
                raise error

        given = {
            "caller": Principal(OWNER, new_id(), frozenset()),
            "name": "a.txt",
            "declared_content_type": None,
            "length": None,
            "at_most": None,
            "digest": None,
            "chunks": stream(),
            "details": FileCreate,
        }
        return await self.service.receive(IncomingUpload(**(given | details)))

    def is_empty(self) -> bool:
        """Whether nothing was left of any upload."""
        counted = (self.quota.bytes, self.quota.reserved, self.quota.count)
        kept = (
            self.quota.uploads,
            self.quota.stored,
            self.outbox.events,
            self.outbox.jobs,
            self.store.objects,
        )
        return counted == (0, 0, 0) and not any(kept)


async def test_a_file_is_kept_counted_and_told_of():
    harness = UploadHarness()
    file = await harness.receive(
        b"plain ", b"words", details=lambda: FileCreate(tags=["a"], metadata={"b": 1})
    )
    stored = harness.quota.stored[file.id]
    assert stored["sha256"] == hashlib.sha256(b"plain words").hexdigest()
    assert (stored["content_type"], stored["size"], stored["tags"]) == ("text/plain", 11, ["a"])
    assert stored["status"] == "ready"
    assert (harness.quota.bytes, harness.quota.reserved, harness.quota.count) == (11, 0, 1)
    assert list(harness.store.objects.values()) == [b"plain words"]
    assert [event.file_id for event in harness.outbox.events] == [file.id]
    assert harness.outbox.jobs == []


async def test_a_picture_has_work_ordered():
    harness = UploadHarness()
    file = await harness.receive(PNG)
    assert harness.quota.stored[file.id]["status"] == "processing"
    assert harness.outbox.job_types() == [PROCESS]
    assert [rendition.name for rendition in harness.files.added] == ["thumb", "small", "large"]


async def test_equal_bytes_are_stored_once_and_counted_for_each_file():
    harness = UploadHarness()
    await harness.receive(b"words")
    await harness.receive(b"words")
    assert harness.quota.bytes == 10
    assert harness.outbox.job_types() == [ERASE]
    (doubled,) = harness.outbox.jobs[0][1].keys
    assert doubled not in harness.quota.blobs.values()


@pytest.mark.parametrize(
    ("chunks", "details", "error"),
    [
        ((b"x" * 101,), {"length": 101}, FileTooLarge),
        ((b"x" * 101,), {}, FileTooLarge),
        ((b"x" * 60,) * 2, {"length": 10}, FileTooLarge),
        ((b"<html>",), {}, TypeRefused),
        ((b"<svg >",), {}, TypeRefused),
        ((b"\x00\x01",), {}, TypeRefused),
        ((b"words",), {"digest": b"0" * 32}, DigestMismatch),
    ],
)
async def test_a_refused_upload_leaves_nothing(chunks, details, error):
    harness = UploadHarness(files_max_bytes=100)
    with pytest.raises(error):
        await harness.receive(*chunks, **details)
    assert harness.is_empty()


async def test_bytes_that_were_stored_before_the_refusal_are_erased_by_a_job():
    harness = UploadHarness()
    with pytest.raises(DetailsRefused):
        await harness.receive(b"words", details=lambda: (_ for _ in ()).throw(DetailsRefused()))
    assert harness.outbox.jobs[0][1].keys == list(harness.store.objects)


async def test_a_digest_that_matches_is_accepted():
    harness = UploadHarness()
    await harness.receive(b"words", digest=hashlib.sha256(b"words").digest())
    assert harness.quota.count == 1


async def test_a_type_can_be_allowed_by_its_kind():
    harness = UploadHarness(files_allowed_types="application/*, image/*")
    await harness.receive(b"\x00\x01")
    with pytest.raises(TypeRefused):
        await harness.receive(b"words")
    with pytest.raises(TypeRefused):
        await harness.receive(b"<svg >")


@pytest.mark.parametrize("end", [UploadInterrupted(), asyncio.CancelledError(), StoreFull(), RuntimeError()])
async def test_an_upload_that_breaks_off_leaves_nothing_whatever_ended_it(end):
    harness = UploadHarness()
    with pytest.raises(type(end)):
        await harness.receive(b"half", error=end)
    assert harness.is_empty()


async def test_the_first_failure_is_told_even_when_cleaning_up_fails_too():
    harness = UploadHarness()

    async def stream() -> AsyncIterator[bytes]:
        yield b"half"
        harness.quota.broken = True
        raise UploadInterrupted

    with pytest.raises(UploadInterrupted):
        await harness.receive(chunks=stream())


async def test_a_file_that_was_swept_away_meanwhile_is_not_kept():
    harness = UploadHarness()

    async def stream() -> AsyncIterator[bytes]:
        yield b"late"
        harness.quota.uploads.clear()

    with pytest.raises(UploadInterrupted):
        await harness.receive(chunks=stream())


async def test_the_quota_is_reserved_before_the_first_byte_where_the_length_is_known():
    harness = UploadHarness(files_quota_bytes=10)
    with pytest.raises(QuotaExceeded):
        await harness.receive(error=AssertionError("was read"), length=11)
    await harness.receive(b"x" * 10, length=10)
    assert harness.quota.reservations == [10]
    with pytest.raises(QuotaExceeded):
        await harness.receive(b"x", length=1)


async def test_an_upload_of_unknown_length_reserves_quota_in_steps():
    harness = UploadHarness()
    await harness.receive(*[b"x" * MIB] * 70)
    assert harness.quota.reservations == [64 * MIB, 64 * MIB]
    assert (harness.quota.bytes, harness.quota.reserved) == (70 * MIB, 0)


async def test_a_form_that_is_far_too_long_is_refused_before_it_is_read():
    harness = UploadHarness(files_max_bytes=10)
    with pytest.raises(FileTooLarge):
        await harness.receive(error=AssertionError("was read"), at_most=3 * MIB)


async def test_the_last_byte_of_the_quota_can_be_used_and_none_beyond():
    harness = UploadHarness(files_quota_bytes=3 * MIB)
    await harness.receive(*[b"x" * MIB] * 3, at_most=3 * MIB + 500)
    assert (harness.quota.bytes, harness.quota.reserved) == (3 * MIB, 0)
    with pytest.raises(QuotaExceeded):
        await harness.receive(b"y")
    assert (harness.quota.bytes, harness.quota.reserved, harness.quota.count) == (3 * MIB, 0, 1)


async def test_a_long_upload_past_the_quota_is_refused_underway():
    harness = UploadHarness(files_quota_bytes=100 * MIB)
    with pytest.raises(QuotaExceeded):
        await harness.receive(*[b"x" * MIB] * 101)
    assert harness.is_empty()


async def test_the_number_of_files_is_a_quota_too():
    harness = UploadHarness(files_max_count=1)
    await harness.receive(b"one")
    with pytest.raises(QuotaExceeded):
        await harness.receive(b"two")


async def test_an_empty_file_is_a_file():
    harness = UploadHarness()
    file = await harness.receive()
    assert harness.quota.stored[file.id]["size"] == 0
