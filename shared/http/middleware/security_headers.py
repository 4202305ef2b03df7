"""Default security headers of responses; a route may override them."""

from collections.abc import Sequence

Header = tuple[bytes, bytes]

_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def security_headers(*, public_url: str, hsts_seconds: int) -> Sequence[Header]:
    """Return the headers; Strict-Transport-Security only where clients use HTTPS."""
    if not hsts_seconds or not public_url.lower().startswith("https://"):
        return _ALWAYS
    return (*_ALWAYS, (b"strict-transport-security", b"max-age=%d" % hsts_seconds))
