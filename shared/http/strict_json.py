"""JSON bodies, read strictly: what JSON (RFC 8259) or our database can't hold is refused before anybody sees it."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json

from shared.errors import BadRequest

MAX_MEMBERS = 10_000
"""Members that the objects of one body may have in all."""

MAX_DEPTH = 64
"""How deep arrays and objects may be nested."""

MAX_EXPONENT = 40
"""Powers of ten that a number may be away from 1: the database writes them out, digit by digit."""

_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\x00")
_GREATEST, _SMALLEST = 10.0**MAX_EXPONENT, 10.0**-MAX_EXPONENT
_DIGITS = re.compile(r"-?[0.]*[1-9]")
"""Of a number that is not zero, also if it is too small for a float."""
_SURROGATES = re.compile("[\ud800-\udfff\x00]")


class MalformedJson(BadRequest):
    """The body isn't JSON that can be stored and read back."""

    code = "request.malformed_json"
    detail = "The body is not valid JSON."


def parse(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        MalformedJson: not UTF-8, a byte order mark, nested deeper than `MAX_DEPTH`, a number beyond
            `MAX_EXPONENT`,
            a duplicate key, a lone surrogate, NUL, or more than `MAX_MEMBERS` members.
    """
    try:
        from_json(body, allow_inf_nan=False)  # stops at a depth of 200, which json.loads doesn't
        # As many members as colons, at the most.
        decoder = _DECODER if body.count(b":") <= MAX_MEMBERS else _decoder(_Members())
        value = decoder.decode(body.decode("utf-8"))
    except MalformedJson:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedJson from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise MalformedJson(f"Nested deeper than {MAX_DEPTH}.")
    if _SUSPICIOUS.search(body) and any(_SURROGATES.search(text) for text in texts_in(value)):
        raise MalformedJson("Text must not contain NUL or half of a surrogate pair.")
    return value


def _finite(text: str) -> float:
    number = float(text)
    is_zero = not number and not _DIGITS.match(text)
    if not is_zero and not _SMALLEST < abs(number) < _GREATEST:
        raise MalformedJson(f"A number is beyond 10 to the power of {MAX_EXPONENT}, or of -{MAX_EXPONENT}.")
    return number


def _refuse_constant(_name: str) -> float:
    raise MalformedJson("NaN and Infinity are not JSON.")


def _decoder(members: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=members, parse_constant=_refuse_constant, parse_float=_finite)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson("An object names a member twice.")
    return members


_DECODER = _decoder(_members)


class _Members:
    """Builds objects, and counts their members."""

    def __init__(self) -> None:
        self._left = MAX_MEMBERS

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._left -= len(pairs)
        if self._left < 0:
            raise MalformedJson(f"More than {MAX_MEMBERS} members.")
        return _members(pairs)


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(member, levels - 1) for member in members)


def texts_in(value: Any) -> Iterable[str]:
    """Yield every string of a JSON value, including member names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from texts_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts_in(member)
