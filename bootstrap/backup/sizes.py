"""Human-readable sizes, and free space on disks."""

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
    return usage.free if usage.total else sys.maxsize  # a file system without blocks has no limit


def format_size(size: int) -> str:
    """Format a number of bytes for people."""
    for number, unit in enumerate(_UNITS):
        if size < _UNIT ** (number + 1):
            return f"{size / _UNIT**number:.{min(number, 1)}f} {unit}"
    return f"{size / _UNIT ** len(_UNITS):.1f} TiB"
