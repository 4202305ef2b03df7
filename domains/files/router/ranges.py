"""Conditions and ranges of downloads (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from domains.files.errors import PreconditionFailed, RangeNotSatisfiable
from shared.db.preconditions import WeakCondition
from shared.http.dates import read_date
from shared.http.entity_tags import are_weak, read_tags

_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """The number of bytes."""
        return self.end - self.start

    def content_range(self, size: int) -> str:
        """Return the value of Content-Range in a representation of `size` bytes."""
        return f"bytes {self.start}-{self.end - 1}/{size}"


@dataclass(frozen=True, slots=True)
class Validators:
    """The validators of a representation: a strong ETag, with its quotes, and the time of its last change."""

    etag: str
    modified_at: datetime

    @property
    def last_modified(self) -> str:
        """The value of Last-Modified."""
        return format_datetime(self._second, usegmt=True)

    @property
    def _second(self) -> datetime:
        return self.modified_at.astimezone(UTC).replace(microsecond=0)

    def is_not_modified(self, headers: Mapping[str, str]) -> bool:
        """Return whether the client has the representation (304).

        Raises:
            PreconditionFailed, WeakCondition: If-Match or If-Unmodified-Since don't hold (412).
        """
        self._check_match(headers)
        if (known := headers.get("if-none-match")) is not None:
            return self._is_among(known, weakly=True)
        since = read_date(headers.get("if-modified-since"))
        return since is not None and self._second <= since

    def continues(self, headers: Mapping[str, str]) -> bool:
        """Return whether Range applies: If-Range, if sent, names this representation."""
        condition = headers.get("if-range")
        if condition is None:
            return True
        return condition.strip() == self.etag or read_date(condition) == self._second

    def _check_match(self, headers: Mapping[str, str]) -> None:
        if_match = headers.get("if-match")
        if if_match is not None:
            if not self._is_among(if_match, weakly=False):
                raise WeakCondition if are_weak(read_tags(if_match) or []) else PreconditionFailed
            return
        since = read_date(headers.get("if-unmodified-since"))
        if since is not None and self._second > since:
            raise PreconditionFailed

    def _is_among(self, header: str, *, weakly: bool) -> bool:
        """Return whether a list has this tag. A malformed list has none, so a download is never refused for it."""
        if header.strip() == "*":
            return True
        return any(tag.text == self.etag and (weakly or not tag.is_weak) for tag in read_tags(header) or [])


def ranges_of(header: str | None, size: int, *, at_most: int) -> list[ByteRange]:
    """Return the requested ranges of a representation of `size` bytes, overlapping ones merged; [] means all of it.

    A malformed header and an unknown unit are ignored, as the RFC demands. So is a suffix of an empty representation:
    all of it satisfies the suffix (section 14.1.2), but no Content-Range can express that.

    Raises:
        RangeNotSatisfiable: more than `at_most` ranges, or none inside the representation.
    """
    unit, equals, listed = (header or "").partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return []
    if listed.count(",") >= at_most:
        raise RangeNotSatisfiable(size=size)
    found = [_RANGE.fullmatch(part.strip()) for part in listed.split(",")]
    if any(part is None or part[0] == "-" or _is_backwards(part) for part in found):
        return []
    if size == 0 and any(part is not None and not part[1] and int(part[2]) for part in found):
        return []
    present = [here for part in found if part is not None and (here := _within(part, size))]
    if not present:
        raise RangeNotSatisfiable(size=size)
    return _merged(present)


def _is_backwards(found: re.Match[str]) -> bool:
    return bool(found[1] and found[2]) and int(found[1]) > int(found[2])


def _within(found: re.Match[str], size: int) -> ByteRange | None:
    """Return the existing part of `first-last`, `first-` or `-suffix`."""
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
    return ByteRange(start, end) if start < end else None


def _merged(ranges: list[ByteRange]) -> list[ByteRange]:
    """Merge ranges that overlap or touch, so that no byte is sent twice; without any, keep the client's order."""
    ordered = sorted(ranges, key=lambda each: each.start)
    merged = [ordered[0]]
    for each in ordered[1:]:
        if each.start <= merged[-1].end:
            merged[-1] = ByteRange(merged[-1].start, max(each.end, merged[-1].end))
        else:
            merged.append(each)
    return ranges if len(merged) == len(ranges) else merged
