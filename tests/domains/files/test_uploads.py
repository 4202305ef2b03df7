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
    UploadTorn,
)
from domains.files.gateway.sniffing import sniff
from domains.files.schemas import Details
from domains.files.service.room import Room
from domains.files.service.uploads import Incoming, UploadService
from domains.files.settings import FilesSettings
from shared.identity import Principal
from shared.ids import new_id
from tests.domains.files.fakes import (
    FakeAccounts,
    FakeFiles,
    FakeLedger,
    FakeLibrary,
    FakeOutbox,
    FakeQuotas,
    FakeStore,
    transaction,
)

OWNER = new_id()
MIB = 1 << 20
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class House:
    """An upload service on fakes."""

    def __init__(self, **settings) -> None:
        self.store, self.ledger, self.outbox = FakeStore(), FakeLedger(), FakeOutbox()
        self.files = FakeFiles(self.ledger)
        self.service = UploadService(
            settings=FilesSettings(**settings),
            transaction=transaction,
            files=self.files,
            ledger=self.ledger,
            store=self.store,
            outbox=self.outbox,
            sniff=sniff,
            library=FakeLibrary(),
            accounts=FakeAccounts(),
            room=Room(FilesSettings(**settings), FakeQuotas()),
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
            "details": Details,
        }
        return await self.service.receive(Incoming(**(given | details)))

    def is_empty(self) -> bool:
        """Whether nothing was left of any upload."""
        counted = (self.ledger.bytes, self.ledger.reserved, self.ledger.count)
        kept = (
            self.ledger.uploads,
            self.ledger.stored,
            self.outbox.events,
            self.outbox.jobs,
            self.store.objects,
        )
        return counted == (0, 0, 0) and not any(kept)


async def test_a_file_is_kept_counted_and_told_of():
    house = House()
    file = await house.receive(b"plain ", b"words", details=lambda: Details(tags=["a"], metadata={"b": 1}))
    stored = house.ledger.stored[file.id]
    assert stored["sha256"] == hashlib.sha256(b"plain words").hexdigest()
    assert (stored["type"], stored["size"], stored["tags"]) == ("text/plain", 11, ["a"])
    assert stored["status"] == "ready"
    assert (house.ledger.bytes, house.ledger.reserved, house.ledger.count) == (11, 0, 1)
    assert list(house.store.objects.values()) == [b"plain words"]
    assert [event.file_id for event in house.outbox.events] == [file.id]
    assert house.outbox.jobs == []


async def test_a_picture_has_work_ordered():
    house = House()
    file = await house.receive(PNG)
    assert house.ledger.stored[file.id]["status"] == "processing"
    assert house.outbox.kinds() == ["files.process"]
    assert [rendition.name for rendition in house.files.added] == ["thumb", "small", "large"]


async def test_equal_bytes_are_stored_once_and_counted_for_each_file():
    house = House()
    await house.receive(b"words")
    await house.receive(b"words")
    assert house.ledger.bytes == 10
    assert house.outbox.kinds() == ["files.erase"]
    (doubled,) = house.outbox.jobs[0][1].keys
    assert doubled not in house.ledger.blobs.values()


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
    house = House(files_max_bytes=100)
    with pytest.raises(error):
        await house.receive(*chunks, **details)
    assert house.is_empty()


async def test_bytes_that_were_stored_before_the_refusal_are_erased_by_a_job():
    house = House()
    with pytest.raises(DetailsRefused):
        await house.receive(b"words", details=lambda: (_ for _ in ()).throw(DetailsRefused()))
    assert house.outbox.jobs[0][1].keys == list(house.store.objects)


async def test_a_digest_that_matches_is_accepted():
    house = House()
    await house.receive(b"words", digest=hashlib.sha256(b"words").digest())
    assert house.ledger.count == 1


async def test_a_type_can_be_allowed_by_its_kind():
    house = House(files_allowed_types="application/*, image/*")
    await house.receive(b"\x00\x01")
    with pytest.raises(TypeRefused):
        await house.receive(b"words")
    with pytest.raises(TypeRefused):
        await house.receive(b"<svg >")


@pytest.mark.parametrize("end", [UploadTorn(), asyncio.CancelledError(), StoreFull(), RuntimeError()])
async def test_an_upload_that_breaks_off_leaves_nothing_whatever_ended_it(end):
    house = House()
    with pytest.raises(type(end)):
        await house.receive(b"half", error=end)
    assert house.is_empty()


async def test_the_first_failure_is_told_even_when_cleaning_up_fails_too():
    house = House()

    async def stream() -> AsyncIterator[bytes]:
        yield b"half"
        house.ledger.broken = True
        raise UploadTorn

    with pytest.raises(UploadTorn):
        await house.receive(chunks=stream())


async def test_a_file_that_was_swept_away_meanwhile_is_not_kept():
    house = House()

    async def stream() -> AsyncIterator[bytes]:
        yield b"late"
        house.ledger.uploads.clear()

    with pytest.raises(UploadTorn):
        await house.receive(chunks=stream())


async def test_the_quota_is_promised_before_the_first_byte_where_the_length_is_known():
    house = House(files_quota_bytes=10)
    with pytest.raises(QuotaExceeded):
        await house.receive(error=AssertionError("was read"), length=11)
    await house.receive(b"x" * 10, length=10)
    assert house.ledger.promised == [10]
    with pytest.raises(QuotaExceeded):
        await house.receive(b"x", length=1)


async def test_an_upload_of_unknown_length_is_promised_room_in_steps():
    house = House()
    await house.receive(*[b"x" * MIB] * 70)
    assert house.ledger.promised == [64 * MIB, 64 * MIB]
    assert (house.ledger.bytes, house.ledger.reserved) == (70 * MIB, 0)


async def test_a_form_that_is_far_too_long_is_refused_before_it_is_read():
    house = House(files_max_bytes=10)
    with pytest.raises(FileTooLarge):
        await house.receive(error=AssertionError("was read"), at_most=3 * MIB)


async def test_the_last_byte_of_the_quota_can_be_used_and_none_beyond():
    house = House(files_quota_bytes=3 * MIB)
    await house.receive(*[b"x" * MIB] * 3, at_most=3 * MIB + 500)
    assert (house.ledger.bytes, house.ledger.reserved) == (3 * MIB, 0)
    with pytest.raises(QuotaExceeded):
        await house.receive(b"y")
    assert (house.ledger.bytes, house.ledger.reserved, house.ledger.count) == (3 * MIB, 0, 1)


async def test_a_long_upload_past_the_quota_is_refused_underway():
    house = House(files_quota_bytes=100 * MIB)
    with pytest.raises(QuotaExceeded):
        await house.receive(*[b"x" * MIB] * 101)
    assert house.is_empty()


async def test_the_number_of_files_is_a_quota_too():
    house = House(files_max_count=1)
    await house.receive(b"one")
    with pytest.raises(QuotaExceeded):
        await house.receive(b"two")


async def test_an_empty_file_is_a_file():
    house = House()
    file = await house.receive()
    assert house.ledger.stored[file.id]["size"] == 0
