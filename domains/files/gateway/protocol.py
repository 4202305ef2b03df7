"""Responses of the sandbox process. An attacker may control it, so each response is validated."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from domains.files.errors import (
    BrokenDocument,
    ImageTooLarge,
    NoPages,
    ParserLimit,
    PasswordRequired,
    UnsupportedCodec,
)
from shared.errors import AppError

LONGEST_LINE = 16_384
"""Bytes of one response."""
REFUSALS: dict[str, type[AppError]] = {
    "image_too_large": ImageTooLarge,
    "broken_document": BrokenDocument,
    "password_required": PasswordRequired,
    "parser_limit": ParserLimit,
    "unsupported_codec": UnsupportedCodec,
    "no_pages": NoPages,
}
_MOST = 1_000_000_000
_ROUNDING = 1
"""Pixels by which a page may exceed the requested size."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("not printable")
    return text


def _known_refusal(name: str) -> str:
    if name not in REFUSALS:
        raise ValueError("not a refusal")
    return name


Sentence = Annotated[str, Field(max_length=500), AfterValidator(_printable)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Ready(_Strict):
    """The process is confined and has loaded its libraries."""

    ready: Literal[True]


class Unavailable(_Strict):
    """The process can't be confined, with the reason."""

    unavailable: Sentence


class Done(_Strict):
    """The operation succeeded."""

    id: str
    ok: dict[str, Any]


class Refused(_Strict):
    """The input can't be used."""

    id: str
    refused: Annotated[str, AfterValidator(_known_refusal)]
    detail: Sentence


class Failed(_Strict):
    """The operation failed because of the machine, not the input."""

    id: str
    failed: Sentence


class _Size(_Strict):
    width: int = Field(ge=1, le=_MOST)
    height: int = Field(ge=1, le=_MOST)


class _Picture(_Size):
    bytes: int = Field(ge=1, le=_MOST)


class _Pictures(_Strict):
    pictures: list[_Picture]
    damaged: bool


class _Pages(_Strict):
    pages: int = Field(ge=1, le=_MOST)


class _Text(_Strict):
    characters: int = Field(ge=0, le=_MOST)
    truncated: bool
    damaged: bool


FACTS: dict[str, type[_Strict]] = {
    "measure_image": _Size,
    "render_image": _Pictures,
    "measure_document": _Pages,
    "render_document": _Size,
    "extract_text": _Text,
}
"""The facts of each operation, by its name."""

START_RESPONSE: TypeAdapter[Ready | Unavailable] = TypeAdapter(Ready | Unavailable)
OPERATION_RESPONSE: TypeAdapter[Done | Refused | Failed] = TypeAdapter(Done | Refused | Failed)


def checked_facts(request: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a response. Raises ValueError if they don't fit the operation or the request's bounds."""
    found = FACTS[request["operation"]].model_validate(facts).model_dump()
    sizes = request.get("sizes", [request.get("size", _MOST)])
    pictures = found.get("pictures", [found])
    within = (
        len(pictures) == len(sizes),
        all(
            max(each.get("width", 0), each.get("height", 0)) <= size + _ROUNDING
            for each, size in zip(pictures, sizes, strict=False)
        ),
        found.get("width", 0) * found.get("height", 0) <= request.get("max_pixels", _MOST),
        found.get("characters", 0) <= request.get("max_characters", _MOST),
    )
    if not all(within):
        raise ValueError("facts outside of the request's bounds")
    return found


def check_content(operation: str, content: bytes, facts: dict[str, Any]) -> None:
    """Raise ValueError if the content is not of the kind that the operation makes."""
    check = _CONTENT.get(operation)
    if check is not None and not check(content, facts):
        raise ValueError("content of another kind")


def encoded(message: dict[str, Any]) -> bytes:
    """Return a message as a line."""
    return json.dumps(message).encode() + b"\n"


def _are_webps(content: bytes, facts: dict[str, Any]) -> bool:
    start = 0
    for picture in facts["pictures"]:
        if not _is_webp(content[start : start + picture["bytes"]], picture):
            return False
        start += picture["bytes"]
    return start == len(content)


def _is_webp(content: bytes, _facts: dict[str, Any]) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def _is_text(content: bytes, facts: dict[str, Any]) -> bool:
    text = content.decode()  # a UnicodeDecodeError is a ValueError
    return "\0" not in text and len(text) == facts["characters"]


_CONTENT: dict[str, Callable[[bytes, dict[str, Any]], bool]] = {
    "render_image": _are_webps,
    "render_document": _is_webp,
    "extract_text": _is_text,
}
