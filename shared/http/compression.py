"""Compression of JSON answers. A proxy that compresses them instead would make their ETags weak."""

import asyncio
import re
import zlib
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

GZIP = "gzip"
ON_THE_LOOP = 131_072
"""Largest body in bytes that is compressed on the event loop; a larger one would block it for over a millisecond."""

_LEVEL = 1
"""Takes a third of the time of level 6 and makes bodies a tenth larger."""

_GZIP_FORMAT = 31
# The client chooses this field, so the time to parse it and the cache of results are bounded.
_LONGEST_READ = 1024
_JSON = "application/json"
_CODING = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*q=([01](?:\.\d{0,3})?)[ \t]*)?")


class Compression:
    """Compresses JSON of at least `min_bytes`, for clients that accept gzip (RFC 9110, section 12.5.3).

    An answer whose length shows what is in it can be read letter by letter by an attacker who adds text of their own
    (BREACH). Answers to GET hold no secrets; what gives tokens out answers POST, and is never compressed.
    """

    def __init__(self, *, min_bytes: int) -> None:
        self.min_bytes = min_bytes

    def concerns(self, request: Request, response: Response) -> bool:
        """Return whether the answer depends on Accept-Encoding; if so, add that to Vary (RFC 9110, section 12.5.5)."""
        depends = (
            len(getattr(response, "body", b"")) >= self.min_bytes
            and request.method in {"GET", "HEAD"}
            and response.status_code == 200  # noqa: PLR2004  # the one that shows a representation
            and response.media_type == _JSON
            and "content-encoding" not in response.headers
        )
        if depends:
            # Also on uncompressed responses: a shared cache must not serve them to clients that accept
            # gzip, nor the other way round.
            response.headers.add_vary_header("Accept-Encoding")
        return depends

    async def apply(self, request: Request, response: Response) -> None:
        """Compress an answer if its client accepts gzip, and add the name of the coding to its ETag."""
        if not accepts_gzip(", ".join(request.headers.getlist("accept-encoding"))):
            return
        body = bytes(response.body)
        response.body = gzipped(body) if len(body) <= ON_THE_LOOP else await asyncio.to_thread(gzipped, body)
        response.headers["content-encoding"] = GZIP
        response.headers["content-length"] = str(len(response.body))
        if "etag" in response.headers:
            response.headers["etag"] = tag_with(response.headers["etag"], GZIP)


def tag_with(tag: str, coding: str) -> str:
    """Return the ETag of the same representation in a content coding (RFC 9110, section 8.8.3.3)."""
    return f'{tag[:-1]}-{coding}"'


def tag_without(tag: str) -> str:
    """Return the ETag of the unencoded representation, given that of an encoded one."""
    return f'{tag.removesuffix(_SUFFIX)}"' if tag.endswith(_SUFFIX) else tag


def gzipped(body: bytes) -> bytes:
    """Compress bytes. Equal input gives equal output."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    return compressor.compress(body) + compressor.flush()


def accepts_gzip(accepted: str) -> bool:
    """Return whether gzip is accepted with at least the weight of identity; False for a field that can't be parsed."""
    return len(accepted) <= _LONGEST_READ and _accepts_gzip(accepted)


@lru_cache(maxsize=256)
def _accepts_gzip(accepted: str) -> bool:
    weights: dict[str, float] = {}
    for part in filter(str.strip, accepted.split(",")):
        found = _CODING.fullmatch(part)
        if found is None:
            return False
        weights[found[1].lower()] = float(found[2] or 1)
    gzip = weights.get(GZIP, weights.get("x-gzip", weights.get("*", 0)))
    return gzip > 0 and gzip >= weights.get("identity", 0)


_SUFFIX = f'-{GZIP}"'
