"""Names, tags and metadata of files, as clients send them."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from shared.http.strict_json import texts_in
from shared.text import as_line, check_line, composed, composed_within, is_blank

MAX_NAME = 255
MAX_TAG = 64
UNNAMED = "unnamed"
_AT_THE_END = re.compile(r"(?<![.\s])[.\s]+\Z")  # a match begins only where a run does
_LONGEST_EXTENSION = 16


def clean_name(name: str | None) -> str:
    """Return a name without folders and control characters, at most `MAX_NAME` long.

    Leading dots are kept (`.gitignore`). Trailing dots and spaces are removed, because Windows ignores them: `a.exe. `
    would be `a.exe`. A name that is too long keeps its extension. No path is made of it, so names that some systems
    reserve (`con.txt`) are allowed.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    shown = _AT_THE_END.sub("", composed(as_line(last)).lstrip())
    if len(shown) > MAX_NAME:
        stem, dot, extension = shown.rpartition(".")
        kept = dot + extension if 0 < len(extension) <= _LONGEST_EXTENSION and stem else ""
        shown = _AT_THE_END.sub("", shown[: MAX_NAME - len(kept)] + kept)
    return UNNAMED if is_blank(shown) else shown


def _check_name(name: str) -> str:
    check_line(name)
    if clean_name(name) != name:
        raise ValueError(
            f"must be a name without slashes, of at most {MAX_NAME} characters, that begins with no space and ends in"
            " neither space nor dot"
        )
    return name


def _check_tag(tag: str) -> str:
    if tag != tag.strip():
        raise ValueError("must not begin or end with a space")
    return check_line(tag)


def _each_once(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _without_nul(value: dict[str, Any]) -> dict[str, Any]:
    if any("\0" in text for text in texts_in(value)):
        raise ValueError("must not contain NUL, which the database can't store")
    return value


FileName = Annotated[str, composed_within(MAX_NAME), AfterValidator(_check_name)]
Tag = Annotated[
    str, Field(min_length=1, max_length=MAX_TAG), composed_within(MAX_TAG), AfterValidator(_check_tag)
]
Tags = Annotated[list[Tag], AfterValidator(_each_once)]
Metadata = Annotated[dict[str, Any], AfterValidator(_without_nul)]
