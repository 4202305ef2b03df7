"""Strict JSON parsing: rejects what JSON (RFC 8259) or the database can't hold."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from shared.errors import BadRequest

MAX_VALUES = 10_000
"""Members of objects, elements of arrays, and empty objects and arrays of one body in all.

A body of 1 MiB has room for 500,000, which would take the event loop seconds.
"""

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
    """The body is not valid JSON, or breaks a limit of size, depth or numbers."""

    code = "request.malformed_json"
    detail = "The body is not valid JSON."


def parse(body: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        MalformedJson: not UTF-8, a byte order mark, nested deeper than `MAX_DEPTH`, a number beyond `MAX_EXPONENT`,
            a duplicate key, a lone surrogate, NUL, or more than `MAX_VALUES` values.
    """
    openings = body.count(b"[") + body.count(b"{")
    # An upper bound first, which is cheap because it counts characters inside strings too.
    if openings + body.count(b",") > MAX_VALUES and _has_too_many(body):
        raise MalformedJson(f"More than {MAX_VALUES} members and elements.")
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except MalformedJson:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedJson from error
    if openings > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise MalformedJson(f"Nested deeper than {MAX_DEPTH}.")
    # The search in the bytes is cheap and fails for most bodies, so few values are walked through.
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


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson("An object names a member twice.")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=_finite)


def _has_too_many(body: bytes) -> bool:
    """Whether a body has too many values. Counts with searches in C only, so any body is safe to count."""
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > 4 * MAX_VALUES:  # a member has two strings, each of them two quotes
        return True
    outside = b"".join(unescaped.split(b'"')[::2])
    return outside.count(b",") + outside.count(b"[") + outside.count(b"{") > MAX_VALUES


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [member for parent in level for member in _members_of(parent)]
    return any(isinstance(member, dict | list) for member in level)


def _members_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def values_in(value: Any) -> Iterator[Any]:
    """Yield every member and element of a JSON value, at every depth."""
    parents = [value]
    while parents:
        for member in _members_of(parents.pop()):
            yield member
            if isinstance(member, dict | list):
                parents.append(member)


def texts_in(value: Any) -> Iterator[str]:
    """Yield every string of a JSON value, including member names."""
    for each in (value, *values_in(value)):
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            yield from each
