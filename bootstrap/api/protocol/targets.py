"""Request targets (RFC 9112, section 3.2). The absolute form is converted to the origin form."""

from typing import Any

import httptools

from shared.http.refusals import Malformed
from shared.http.request_context import context_of

_SERVER_WIDE = b"*"
_SCHEMES = frozenset({b"http", b"https"})


def is_origin_form(url: bytes) -> bool:
    """Return whether a target needs no conversion."""
    return url[:1] == b"/" and b"#" not in url


def in_origin_form(url: bytes, method: bytes, scope: Any) -> bytes:
    """Convert a target to the origin form. Its authority replaces the Host header in `scope`.

    Raises:
        Malformed: a fragment, user information, a scheme besides http and https, or `*` with a method besides OPTIONS.
    """
    if url == _SERVER_WIDE and method == b"OPTIONS":
        return url
    parsed: Any = httptools.parse_url(url)  # the stubs do not say that parts may be absent
    if b"#" in url or parsed.userinfo or (parsed.schema or b"").lower() not in _SCHEMES:
        raise Malformed
    authority = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
    context_of(scope).has_absolute_target = True
    scope["headers"][:] = [
        (name, authority if name == b"host" else value) for name, value in scope["headers"]
    ]
    return (parsed.path or b"/") + (b"" if parsed.query is None else b"?" + parsed.query)
