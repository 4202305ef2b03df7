"""Sizes as people write them, and the space that is free on a disk."""

import shutil
import sys
from pathlib import Path

_UNIT = 1024
_UNITS = ("bytes", "KiB", "MiB", "GiB")


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def free_of(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which need not exist yet."""
    usage = shutil.disk_usage(existing(folder))
    return usage.free if usage.total else sys.maxsize  # what is no disk has no end


def format_size(size: int) -> str:
    """Return a number of bytes as people write it."""
    for number, unit in enumerate(_UNITS):
        if size < _UNIT ** (number + 1):
            return f"{size / _UNIT**number:.{min(number, 1)}f} {unit}"
    return f"{size / _UNIT ** len(_UNITS):.1f} TiB"
