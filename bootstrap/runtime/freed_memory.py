"""Returns freed memory to the system after a load."""

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

GROWTH = 8 << 20
"""Bytes that the process must have grown since the last trim: to search all free memory takes milliseconds."""

STEADY = 1 << 20
"""Bytes that the process may grow between two looks and still count as idle."""

LONGEST_PAUSE = 64
"""Most checks without a trim, after trims that released nothing."""

_STATUS = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class FreedMemory:
    """Makes the C library return free memory inside its heaps, which it would keep otherwise.

    Trims only a process that has grown since the last trim and no longer grows, because a trim takes the locks of the
    allocator. After a trim that gives nothing back, the pause before the next one doubles; after the longest pause the
    memory counts as needed, and only further growth leads to a trim. Does nothing where the C library has no trim.
    """

    def __init__(self, resident: Callable[[], int] | None = None) -> None:
        """The current size counts as needed. `resident` returns the size of the process in bytes."""
        self._trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._resident = resident or resident_memory
        self._needed = self._last = self._resident()
        self._pause = 1
        self._left = 0

    async def trim_if_idle(self) -> None:
        """Check the size, and trim if that may help, on a thread, because it would block the event loop."""
        size = self._resident()
        grown, self._last = size - self._last, size
        if grown > GROWTH:
            self._pause, self._left = 1, 0
        self._left -= 1
        if self._trim is None or self._left > 0 or grown > STEADY or size - self._needed <= GROWTH:
            return
        await asyncio.to_thread(self._trim, 0)
        self._last = self._resident()
        self._count(size - self._last)

    def _count(self, released: int) -> None:
        if released > STEADY:
            self._needed, self._pause, self._left = self._last, 1, 0
        elif self._pause < LONGEST_PAUSE:
            self._pause *= 2
            self._left = self._pause
        else:
            self._needed, self._pause, self._left = self._last, 1, 0


def resident_memory() -> int:
    """Return the resident memory of this process in bytes; 0 if unknown."""
    try:
        return int(_STATUS.read_text().split()[1]) * _PAGE
    except OSError:
        return 0
