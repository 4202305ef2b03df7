"""Memory that was freed after a load is returned to the system."""

import sys

import pytest

from bootstrap.runtime.freed_memory import LONGEST_PAUSE, FreedMemory, resident_memory

MEBIBYTE = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux keeps what is freed")
async def test_what_was_freed_after_a_load_is_given_back() -> None:
    freed = FreedMemory()
    load = [bytes(100_000) for _ in range(1000)]
    pins = [load[number] for number in range(0, 1000, 50)]
    del load
    kept = resident_memory()
    for _ in range(2):  # it grew before the first look, and no more before the second
        await freed.trim_if_idle()
    assert kept - resident_memory() > 32 * MEBIBYTE
    assert len(pins) == 20


class Process:
    """A process of a given size, whose trims give back what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.size, self.freed, self.trims = 100 * MEBIBYTE, 0, 0
        self.memory = FreedMemory(lambda: self.size)
        monkeypatch.setattr(self.memory, "_trim", self._trim)

    def _trim(self, _pad: int) -> int:
        self.trims += 1
        self.size, self.freed = self.size - self.freed, 0
        return 1

    async def look(self, times: int) -> int:
        """Look so many times; return how many trims that led to."""
        before = self.trims
        for _ in range(times):
            await self.memory.trim_if_idle()
        return self.trims - before


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(monkeypatch)


async def test_a_process_that_has_not_grown_is_left_alone(process: Process) -> None:
    assert await process.look(100) == 0


async def test_a_process_is_left_alone_while_it_grows(process: Process) -> None:
    for _ in range(10):
        process.size += 20 * MEBIBYTE
        assert await process.look(1) == 0
    assert await process.look(1) == 1


async def test_a_process_that_stays_larger_is_trimmed_less_and_less_and_then_no_more(
    process: Process,
) -> None:
    process.size += 50 * MEBIBYTE
    assert await process.look(30) == 4
    assert await process.look(3 * LONGEST_PAUSE) == 3
    assert await process.look(10_000) == 0


async def test_what_is_freed_after_a_long_load_is_given_back(process: Process) -> None:
    process.size += 50 * MEBIBYTE
    await process.look(30)
    process.freed = 50 * MEBIBYTE
    await process.look(LONGEST_PAUSE)
    assert process.size == 100 * MEBIBYTE
    assert await process.look(1000) == 0


async def test_a_process_that_grows_again_is_trimmed_again(process: Process) -> None:
    process.size += 50 * MEBIBYTE
    await process.look(1000)
    process.size += 50 * MEBIBYTE
    process.freed = 50 * MEBIBYTE
    assert await process.look(2) == 1
