"""Responses with stored bytes: whole, in ranges or 304, with headers that keep a browser from running them."""

import base64
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from domains.files.router.disposition import Disposition, content_disposition
from domains.files.router.ranges import ByteRange, Validators, ranges_of
from domains.files.service.file_service import FileService
from domains.files.service.rendition_specs import INLINE_TYPES
from shared.http.concurrency import RequestSlot
from shared.http.streaming import ClosingStreamingResponse, prefetched
from shared.streams import Chunk

SMALL = 1 << 17
"""Bytes: shorter responses don't count as a download in progress."""

_HARMLESS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Representation:
    """Stored bytes that a client may download. `size` in bytes, `sha256` hexadecimal.

    `encoded_here`: this server encoded them. Only those may be shown inline, never uploaded bytes.
    """

    storage_key: str
    size: int
    sha256: str
    content_type: str
    name: str
    modified_at: datetime
    encoded_here: bool = False

    @property
    def validators(self) -> Validators:
        """The validators for conditional requests."""
        return Validators(f'"{self.sha256}"', self.modified_at)

    def headers(self, disposition: Disposition) -> dict[str, str]:
        """Return the headers of every response about it."""
        shown = self.encoded_here and self.content_type in INLINE_TYPES
        kind: Disposition = disposition if shown else "attachment"
        return {
            **_HARMLESS,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Disposition": content_disposition(kind, self.name),
            "Content-Type": self.content_type,
            "ETag": self.validators.etag,
            "Last-Modified": self.validators.last_modified,
            "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode()}:",
        }


async def deliver(
    request: Request,
    file_service: FileService,
    representation: Representation,
    *,
    slot: RequestSlot,
    disposition: Disposition,
) -> Response:
    """Return 200, 206, 304, or the headers alone for HEAD. A long response occupies `slot` until it has ended.

    Raises:
        PreconditionFailed, WeakCondition, RangeNotSatisfiable: see `Validators` and `ranges_of`.
        TooManyInProgress, Busy: too many downloads are in progress.
    """
    headers = representation.headers(disposition)
    if representation.validators.is_not_modified(request.headers):
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(representation.size)})
    ranges = []
    if representation.validators.continues(request.headers):
        most = file_service.settings.files_max_ranges
        ranges = ranges_of(request.headers.get("range"), representation.size, at_most=most)
    if sum(part.length for part in ranges) > SMALL or (not ranges and representation.size > SMALL):
        slot.enter()
    if len(ranges) > 1:
        return await _multipart_response(file_service, representation, ranges, headers)
    return await _single_response(file_service, representation, ranges, headers)


async def _single_response(
    file_service: FileService,
    representation: Representation,
    ranges: list[ByteRange],
    headers: Mapping[str, str],
) -> Response:
    part = ranges[0] if ranges else ByteRange(0, representation.size)
    extra = {"Content-Length": str(part.length)}
    if ranges:
        extra["Content-Range"] = part.content_range(representation.size)
    body = await prefetched(file_service.read_bytes(representation.storage_key, part.start, part.end))
    return ClosingStreamingResponse(body, status_code=206 if ranges else 200, headers={**headers, **extra})


async def _multipart_response(
    file_service: FileService,
    representation: Representation,
    ranges: list[ByteRange],
    headers: Mapping[str, str],
) -> Response:
    """Return multipart/byteranges (RFC 9110, section 14.6)."""
    boundary = secrets.token_hex(16)
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {representation.content_type}\r\n"
        f"Content-Range: {part.content_range(representation.size)}\r\n\r\n".encode()
        for part in ranges
    ]
    end = f"\r\n--{boundary}--\r\n".encode()
    length = sum(map(len, heads)) + sum(part.length for part in ranges) + len(end)

    async def body() -> AsyncGenerator[Chunk]:
        for head, part in zip(heads, ranges, strict=True):
            yield head
            pieces = file_service.read_bytes(representation.storage_key, part.start, part.end)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        yield end

    return ClosingStreamingResponse(
        await prefetched(body()),
        status_code=206,
        headers={
            **headers,
            "Content-Length": str(length),
            "Content-Type": f"multipart/byteranges; boundary={boundary}",
        },
    )
