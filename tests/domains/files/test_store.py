import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.exceptions import GenericError

from domains.files.errors import StoreFull, StoreUnavailable
from domains.files.gateway.store import LARGE_PIECES_BUDGET, LARGEST_PIECE, SMALLEST_PIECE, ObjectFiles
from domains.files.settings import FilesSettings

MIB = 1 << 20


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> ObjectFiles:
    return ObjectFiles(FilesSettings(), tmp_path, clock=clock)


async def chunks(*given: bytes, error: BaseException | None = None) -> AsyncIterator[bytes]:
    for chunk in given:
        yield chunk
    if error is not None:
        raise error


async def read_range(store: ObjectFiles, key: str, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in store.read(key, start, end)])


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_is_put_can_be_read_in_ranges(store):
    data = bytes(range(256)) * 20_000
    await store.put(
        "blobs/a", chunks(*[data[start : start + 100_000] for start in range(0, len(data), 100_000)])
    )
    assert await read_range(store, "blobs/a", 0, len(data)) == data
    assert await read_range(store, "blobs/a", 250, 2 * MIB) == data[250 : 2 * MIB]
    assert await read_range(store, "blobs/a", 7, 7) == b""


async def test_who_takes_them_quickly_gets_large_pieces_and_who_is_slow_small_ones(store, clock):
    await store.put("blobs/a", chunks(*[b"x" * MIB] * 24))
    pieces, slow = [len(piece) async for piece in store.read("blobs/a", 0, 24 * MIB)], []
    async for piece in store.read("blobs/a", 0, 4 * MIB):
        slow.append(len(piece))
        clock.now += 0.06
    assert (pieces[0], max(pieces), sum(pieces)) == (SMALLEST_PIECE, LARGEST_PIECE, 24 * MIB)
    assert slow == [SMALLEST_PIECE] * 32


async def test_downloads_share_the_budget_for_large_pieces_and_release_it(store):
    await store.put("blobs/a", chunks(*[b"x" * MIB] * 16))
    readers = [store.read("blobs/a", 0, 16 * MIB) for _ in range(30)]
    for _ in range(7):
        held = [len(await anext(reader)) for reader in readers]
    assert 2 * sum(held) <= LARGE_PIECES_BUDGET + 2 * 30 * SMALLEST_PIECE
    for reader in readers:
        await reader.aclose()
    assert LARGEST_PIECE in [len(piece) async for piece in store.read("blobs/a", 0, 16 * MIB)]


async def test_a_reader_that_becomes_slow_is_given_less(store, clock):
    await store.put("blobs/a", chunks(*[b"x" * MIB] * 24))
    pieces = []
    async for piece in store.read("blobs/a", 0, 24 * MIB):
        pieces.append(len(piece))
        if sum(pieces) > 12 * MIB:
            clock.now += 0.06
    assert LARGEST_PIECE in pieces
    assert pieces[-2] == SMALLEST_PIECE
    assert sum(pieces) == 24 * MIB


async def test_an_empty_file_is_kept(store, tmp_path):
    await store.put("blobs/a", chunks())
    assert [path.stat().st_size for path in kept(tmp_path)] == [0]


async def test_a_stream_that_breaks_leaves_nothing_and_its_own_error(store, tmp_path):
    with pytest.raises(KeyError):
        await store.put("blobs/a", chunks(b"x" * 20_000_000, error=KeyError("mine")))
    assert kept(tmp_path) == []


async def test_a_cancelled_upload_leaves_nothing(store, tmp_path):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000
            await asyncio.sleep(0)

    task = asyncio.ensure_future(store.put("blobs/a", endless()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(50):
        if not kept(tmp_path):
            return
        await asyncio.sleep(0.05)
    pytest.fail("something was left")


async def test_deleting_is_safe_to_repeat_and_takes_unfinished_parts_along(store, tmp_path):
    await store.put("blobs/a", chunks(b"x"))
    (tmp_path / "files" / "blobs" / "a#1").write_bytes(b"left by a killed upload")
    await store.delete("blobs/a")
    await store.delete("blobs/a")
    assert kept(tmp_path) == []


async def test_an_object_is_copied_into_a_file(store, tmp_path):
    target = tmp_path / "target"
    await store.put("renditions/a", chunks(b"words"))
    await store.fetch("renditions/a", 5, target)
    assert target.read_bytes() == b"words"


async def test_a_missing_object_means_that_the_store_is_not_well(store):
    with pytest.raises(StoreUnavailable):
        await read_range(store, "blobs/nothing", 0, 10)


async def test_a_full_disk_has_a_name(store, monkeypatch):
    async def full(*_args, **_options):
        raise GenericError("Generic LocalFileSystem error: No space left on device (os error 28)")

    monkeypatch.setattr("domains.files.gateway.store.obstore.put_async", full)
    with pytest.raises(StoreFull):
        await store.put("blobs/a", chunks(b"x"))


async def test_the_store_can_be_chosen_by_its_address(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    local = ObjectFiles(FilesSettings(files_store_url=f"file://{elsewhere}"), tmp_path)
    await local.put("a", chunks(b"x"))
    assert kept(elsewhere)
    memory = ObjectFiles(FilesSettings(files_store_url="memory:///"), tmp_path)
    await memory.put("a", chunks(b"x"))
    assert await read_range(memory, "a", 0, 1) == b"x"
    await memory.delete("a")
    await memory.check()
    await local.check()


async def test_a_store_that_is_away_has_a_name(store, monkeypatch):
    async def away(*_args, **_options):
        raise GenericError("connection refused")

    for name in ("head_async", "delete_async", "put_async"):
        monkeypatch.setattr(f"domains.files.gateway.store.obstore.{name}", away)
    with pytest.raises(StoreUnavailable):
        await store.check()
    with pytest.raises(StoreUnavailable):
        await store.delete("blobs/a")
    with pytest.raises(StoreUnavailable):
        await store.put("blobs/a", chunks(b"x"))
