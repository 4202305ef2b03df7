"""Memory that was freed after a load goes back to the system."""

import sys

import pytest

from bootstrap.freed_memory import FreedMemory, resident

MEBIBYTE = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux keeps what is freed")
async def test_what_was_freed_after_a_load_is_given_back() -> None:
    freed = FreedMemory()
    load = [bytes(100_000) for _ in range(1000)]
    pins = [load[number] for number in range(0, 1000, 50)]
    del load
    kept = resident()
    await freed.give_back()
    assert kept - resident() > 32 * MEBIBYTE
    assert len(pins) == 20


async def test_a_process_that_has_not_grown_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    freed = FreedMemory()
    monkeypatch.setattr(freed, "_trim", lambda _pad: pytest.fail("nothing was to be given back"))
    await freed.give_back()
