"""Counting of the pages of a TIFF (TIFF 6.0, section 2; BigTIFF) without libtiff, which reads all of them."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

_ORDERS = {b"II": "<", b"MM": ">"}
_BIG = 43


def has_more_pages(path: Path, most: int) -> bool:
    """Return whether the chain of pages has more than `most` links. A chain that can't be followed ends there."""
    with path.open("rb") as file:
        order = _ORDERS.get(file.read(2))
        if order is None:
            return False
        big = _number(file, f"{order}H") == _BIG
        size = file.seek(0, os.SEEK_END)
        file.seek(8 if big else 4)
        return _follow(file, size, order, big=big, most=most)


def _follow(file: BinaryIO, size: int, order: str, *, big: bool, most: int) -> bool:
    count, entry, link = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
    for _ in range(most + 1):
        offset = _number(file, link)
        if not offset or offset >= size:
            return False
        file.seek(offset)
        entries = _number(file, count)
        if entries is None or file.tell() + entries * entry >= size:
            return False
        file.seek(entries * entry, os.SEEK_CUR)
    return bool(_number(file, link))


def _number(file: BinaryIO, form: str) -> int | None:
    content = file.read(struct.calcsize(form))
    return struct.unpack(form, content)[0] if len(content) == struct.calcsize(form) else None
