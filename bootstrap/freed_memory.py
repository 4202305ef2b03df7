"""Memory that was freed after a load, given back to the system."""

import asyncio
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

GROWTH = 16 << 20
"""Bytes that the process must be larger than at first: to look through all that is free takes milliseconds."""

_STATUS = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class FreedMemory:
    """The C library keeps what is freed in the middle of its heaps. A moment with many clients would stay for ever.

    Does nothing where the library or the system is another.
    """

    def __init__(self) -> None:
        self._trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._at_first = resident()

    async def give_back(self) -> None:
        """Give it back if the process has grown; on a thread, which holds up others only where they allocate."""
        if self._trim is not None and resident() - self._at_first > GROWTH:
            await asyncio.to_thread(self._trim, 0)


def resident() -> int:
    """Return the resident memory of this process in bytes; 0: the system doesn't tell."""
    try:
        return int(_STATUS.read_text().split()[1]) * _PAGE
    except OSError:
        return 0
