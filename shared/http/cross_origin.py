"""Which pages of other origins may call this server from a browser (CORS, the Fetch standard)."""

from collections.abc import Iterable, Mapping

from starlette.types import Send

from shared.http.security_headers import Header

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    b"Authorization, Content-Disposition, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, If-None-Match,"
    b" If-Range, If-Unmodified-Since, Last-Event-ID, Range, Repr-Digest, Traceparent, Tus-Resumable, Upload-Checksum,"
    b" Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, X-Request-Id"
)
_ANSWER_HEADERS = (
    b"Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Last-Modified, Link,"
    b" Location, RateLimit, RateLimit-Policy, Repr-Digest, Retry-After, Tus-Extension, Tus-Max-Size, Tus-Resumable,"
    b" Tus-Version, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, WWW-Authenticate, X-Request-Id"
)
_VARY: Header = (b"vary", b"Origin")


class CrossOrigin:
    """Answers browsers that ask for pages of the given origins. Credentials are bearer tokens, never cookies."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._granted = {
            origin.encode(): (
                _VARY,
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", _ANSWER_HEADERS),
            )
            for origin in origins
        }

    def headers(self, origin: bytes) -> tuple[Header, ...]:
        """Return what an answer to a request of this origin (empty: none) carries."""
        if not self._granted:
            return ()
        return self._granted.get(origin, (_VARY,))

    def is_preflight(self, method: str, fields: Mapping[bytes, bytes]) -> bool:
        """Tell whether a request with these header fields asks on behalf of a known origin what it may send."""
        if method != "OPTIONS" or b"access-control-request-method" not in fields:
            return False
        return fields.get(b"origin", b"") in self._granted

    async def grant(self, send: Send) -> None:
        """Answer such a question."""
        headers = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", b"600"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
