"""Entity tags in header fields (RFC 9110, section 8.8.3)."""

import re
from collections.abc import Sequence
from typing import NamedTuple

_TAG = re.compile(r'[ \t]*(?:,[ \t]*)*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')
_REST = re.compile(r"[ \t,]*")


class EntityTag(NamedTuple):
    """An entity tag; `text` has its quotes."""

    is_weak: bool
    text: str


def read_tags(value: str) -> list[EntityTag] | None:
    """Return the tags of a list; None if it is malformed. Tags may contain commas."""
    tags, position = [], 0
    while not _REST.fullmatch(value, position):
        found = _TAG.match(value, position)
        if found is None:
            return None
        tags.append(EntityTag(found[1] is not None, found[2]))
        position = found.end()
    return tags


def are_weak(tags: Sequence[EntityTag]) -> bool:
    """Return whether all tags of a list are weak, so that If-Match never holds (RFC 9110, section 13.1.1)."""
    return bool(tags) and all(tag.is_weak for tag in tags)
