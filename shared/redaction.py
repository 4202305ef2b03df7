"""Removes secrets from text of other sources: exceptions, lines of libraries, error reports.

Text of this program holds no secrets; this is a second line of defence.
"""

import re

HIDDEN = "[hidden]"

_SECRETS = re.compile(
    r"""
    (?P<before> ://[^\s/:"']*: )   [^\s/@"']+ (?=@)                                   # a password in a URL
    | (?P<scheme> \b(?:bearer|basic)\s+ )  [\w.~+/=-]{8,}                             # Authorization
    | (?P<name>                                                                       # password=..., "token": "..."
        (?:password|passwd|secret|token|authorization|api_?key|otp|code_verifier)
        ["'\\]*\s*[=:]\s*["'\\]* )
      (?!bearer\b|basic\b|none\b|null\b)  [^\s"'&,;)}\\]{6,}
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*                                               # a signed token
    | \btulou_[\w-]{16,}                                                              # an API key
    | (?<![\w-]) (?-i:(?=[\w-]*\d)(?=[\w-]*[A-Z])(?=[\w-]*[a-z]))                      # a token for a link, 32 bytes,
      (?:[\w-]{43}|[\w-]{75}) (?![\w-])                                                # or of a refresh, 56 bytes
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Replace everything that looks like a secret by `[hidden]`."""
    return _SECRETS.sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    kept = found["before"] or found["scheme"] or found["name"] or ""
    return f"{kept}{HIDDEN}"
