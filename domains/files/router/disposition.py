"""File names in Content-Disposition (RFC 6266; RFC 8187 for names beyond ASCII)."""

import re
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

Disposition = Literal["attachment", "inline"]

_EXTENDED = re.compile(
    r"(utf-8|iso-8859-1)'[A-Za-z0-9-]*'((?:%[0-9A-Fa-f]{2}|[!#$&+.^_`|~0-9A-Za-z-])*)", re.IGNORECASE
)
_NOT_ASCII_TOKEN = re.compile(r'[^\x20-\x7e]|["\\%]')


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
