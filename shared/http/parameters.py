"""Parameters of header fields, as in Content-Type and Content-Disposition (RFC 9110, section 5.6.6)."""

import re

_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s";]+)\s*')
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


def _unquoted(value: str) -> str:
    r"""Take a backslash for an escape only where one is needed: some programs send `C:\folder\name` as it is."""
    return re.sub(r'\\(["\\])', r"\1", value[1:-1]) if value.startswith('"') else value
