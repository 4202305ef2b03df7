"""Content-Disposition and other fields with parameters (RFC 6266; RFC 8187 for names beyond ASCII)."""

import re
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

Disposition = Literal["attachment", "inline"]

_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s";]+)\s*')
_EXTENDED = re.compile(
    r"(utf-8|iso-8859-1)'[A-Za-z0-9-]*'((?:%[0-9A-Fa-f]{2}|[!#$&+.^_`|~0-9A-Za-z-])*)", re.IGNORECASE
)
_NOT_ASCII_TOKEN = re.compile(r'[^\x20-\x7e]|["\\%]')
MAX_HEADER = 8192


def parse_parameters(header: str) -> dict[str, str]:
    """Return a header's parameters by lower-case name, its first value under "". A quoted value is unquoted.

    Raises:
        ValueError: malformed, longer than `MAX_HEADER`, or a parameter is repeated, which parsers resolve differently.
    """
    if len(header) > MAX_HEADER:
        raise ValueError("too long")
    first, semicolon, _ = header.partition(";")
    parameters, position = {"": first.strip().lower()}, len(first)
    while semicolon and header[position:].strip(" \t;"):
        found = _PARAMETER.match(header, position)
        if found is None or found[1].lower() in parameters:
            raise ValueError("malformed")
        parameters[found[1].lower()] = _unquoted(found[2])
        position = found.end()
    return parameters


def file_name_of(parameters: dict[str, str]) -> str | None:
    """Return the file name of a Content-Disposition header: `filename*`, else `filename`.

    Raises:
        ValueError: `filename*` is malformed.
    """
    extended = parameters.get("filename*")
    if extended is None:
        return parameters.get("filename")
    found = _EXTENDED.fullmatch(extended)
    if found is None:
        raise ValueError("malformed filename*")
    return unquote_to_bytes(found[2]).decode(found[1].lower())


def content_disposition(kind: Disposition, name: str) -> str:
    """Return the header's value, in ASCII whatever the name is."""
    plain = _NOT_ASCII_TOKEN.sub("_", name)
    header = f'{kind}; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


def _unquoted(value: str) -> str:
    r"""Take a backslash for an escape only where one is needed: some programs send `C:\folder\name` as it is."""
    return re.sub(r'\\(["\\])', r"\1", value[1:-1]) if value.startswith('"') else value
