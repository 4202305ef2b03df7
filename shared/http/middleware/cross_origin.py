"""Which pages of other origins may call this server from a browser (CORS, the Fetch standard)."""

import re
from collections.abc import Iterable, Mapping

from starlette.types import Send

from shared.errors import Forbidden
from shared.http.middleware.security_headers import Header
from shared.logging import get_logger

logger = get_logger(__name__)
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Authorization, Content-Disposition, Content-Type, Idempotency-Key, If-Match, If-Modified-Since, If-None-Match,"
    " If-Range, If-Unmodified-Since, Last-Event-ID, Range, Repr-Digest, Traceparent, X-Request-Id"
)
_EXPOSED_HEADERS = (
    b"Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Last-Modified, Link,"
    b" Location, RateLimit, RateLimit-Policy, Repr-Digest, Retry-After, WWW-Authenticate, X-Request-Id"
)
_ALWAYS_ALLOWED = frozenset({"accept", "accept-language", "content-language"})
"""Safelisted by the Fetch standard; a browser names them when their values are unusual."""
_VARY: Header = (b"vary", b"Origin")
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_MAX_LOGGED = 100
_MAX_LOGGED_LENGTH = 200


class OriginRefused(Forbidden):
    """The web page has an origin that is not allowed."""

    code = "request.origin_refused"
    remedy = "Ask the operator to add the origin to `TULOU_CORS_ORIGINS`."
    detail = (
        "Pages of this origin may not call this server. Its operator allows origins with TULOU_CORS_ORIGINS."
    )


class HeaderRefused(Forbidden):
    """A web page of another origin wants to send a header that is not allowed."""

    code = "request.header_refused"
    remedy = "Ask the operator to add the header to `TULOU_CORS_HEADERS`."
    detail = (
        "Pages may not send this header. The operator of this server allows headers with TULOU_CORS_HEADERS."
    )


class CrossOrigin:
    """Allows pages of the given origins to call this server. Credentials are bearer tokens, never cookies.

    An origin may begin its host with `*.`, which stands for exactly one label. `headers` are request headers that
    pages may send beside those that operations read.
    """

    def __init__(self, origins: Iterable[str], headers: Iterable[str] = ()) -> None:
        named = list(origins)
        self._exact = {origin.encode(): _grant(origin.encode()) for origin in named if "*" not in origin}
        self._patterns = [_pattern(origin) for origin in named if "*" in origin]
        self._request_headers = ", ".join([_REQUEST_HEADERS, *headers]).encode()
        self._allowed = {
            name.lower() for name in self._request_headers.decode().split(", ")
        } | _ALWAYS_ALLOWED
        self._logged: dict[tuple[str, str], None] = {}

    def headers(self, origin: bytes) -> tuple[Header, ...]:
        """Return the headers of a response to this origin (empty: none)."""
        if not self._exact and not self._patterns:
            return ()
        granted = self._exact.get(origin)
        if granted is None and self._is_granted(origin):
            granted = _grant(origin)
        return granted or (_VARY,)

    def is_preflight(self, fields: Mapping[bytes, bytes]) -> bool:
        """Return whether an OPTIONS request with these header fields is a CORS preflight."""
        return b"access-control-request-method" in fields and b"origin" in fields

    async def answer(self, fields: Mapping[bytes, bytes], send: Send) -> None:
        """Answer a CORS preflight.

        Raises:
            OriginRefused: the settings do not allow the origin.
            HeaderRefused: they do not allow one of the headers.
        """
        self._check(fields)
        headers = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", self._request_headers),
            (b"access-control-max-age", b"600"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _check(self, fields: Mapping[bytes, bytes]) -> None:
        origin = fields[b"origin"]
        if not self._is_granted(origin):
            self._log(OriginRefused, origin.decode("latin-1"))
            raise OriginRefused
        wanted = fields.get(b"access-control-request-headers", b"").decode("latin-1").lower()
        for name in filter(None, (name.strip() for name in wanted.split(","))):
            if name not in self._allowed:
                self._log(HeaderRefused, name)
                raise HeaderRefused

    def _is_granted(self, origin: bytes) -> bool:
        return origin in self._exact or any(pattern.fullmatch(origin) for pattern in self._patterns)

    def _log(self, error: type[Forbidden], what: str) -> None:
        """Log a refusal unless it is among the last `_MAX_LOGGED`. Browsers hide the body; the operator has to know."""
        refusal = (error.code, "".join(filter(str.isprintable, what))[:_MAX_LOGGED_LENGTH])
        if refusal in self._logged:
            return
        self._logged[refusal] = None
        if len(self._logged) > _MAX_LOGGED:
            del self._logged[next(iter(self._logged))]
        logger.warning("cross_origin_refused", code=error.code, refused=refusal[1], hint=error.detail)


def _grant(origin: bytes) -> tuple[Header, ...]:
    return (
        _VARY,
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED_HEADERS),
    )


def _pattern(origin: str) -> re.Pattern[bytes]:
    before, _, after = origin.partition("*")
    return re.compile(f"{re.escape(before)}{_LABEL}{re.escape(after)}".encode())
