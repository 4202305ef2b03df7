"""The headers of answers, described once: an operation names those that it sends."""

from typing import Any

_WHEN = {"type": "integer", "minimum": 0}

RESPONSE_HEADERS: dict[str, dict[str, Any]] = {
    "Accept-Ranges": {
        "description": "`bytes`: parts of it can be asked for with `Range`.",
        "schema": {"type": "string", "enum": ["bytes"]},
    },
    "Cache-Control": {
        "description": "How long the response may be cached.",
        "schema": {"type": "string"},
        "example": "public, max-age=300",
    },
    "Content-Disposition": {
        "description": "File name for saving the response (RFC 6266).",
        "schema": {"type": "string"},
        "example": "attachment; filename*=UTF-8''holiday.jpg",
    },
    "Content-Range": {
        "description": "Which bytes these are, and of how many (RFC 9110, section 14.4).",
        "schema": {"type": "string"},
        "example": "bytes 1000-1999/52000",
    },
    "ETag": {
        "description": "Names the state that this answer shows, for `If-Match` and `If-None-Match`.",
        "schema": {"type": "string"},
        "example": '"3-9f86d081884c7d65"',
    },
    "Idempotency-Replayed": {
        "description": "`true` when this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Last-Modified": {
        "description": "When the bytes came.",
        "schema": {"type": "string"},
        "example": "Sat, 14 Mar 2026 09:26:53 GMT",
    },
    "Link": {
        "description": "`rel=next` leads to the next page (RFC 8288); absent on the last one.",
        "schema": {"type": "string"},
        "example": '</v1/files?cursor=WyItY3JlYXRlZF9hdCJd>; rel="next"',
    },
    "Location": {
        "description": "URL of the resource or job that this request created.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/v1/jobs/0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42",
    },
    "RateLimit": {
        "description": "How many requests are left (`r`) for how many seconds (`t`).",
        "schema": {"type": "string"},
        "example": '"default";r=598;t=42',
    },
    "RateLimit-Policy": {
        "description": "How many requests (`q`) a caller may send in how many seconds (`w`).",
        "schema": {"type": "string"},
        "example": '"default";q=600;w=60',
    },
    "Retry-After": {
        "description": "Seconds to wait before the next request.",
        "schema": _WHEN,
        "example": 2,
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 9110, section 11.6.1).",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer realm="tulou"',
    },
    "X-Request-Id": {
        "description": "Finds this request in the log: yours, if you sent one, else one that was made for it.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
        "example": "0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42",
    },
}


def sends(*names: str) -> dict[str, dict[str, Any]]:
    """Return the headers of a response for the OpenAPI document."""
    unknown = set(names) - RESPONSE_HEADERS.keys()
    if unknown:
        raise LookupError(f"RESPONSE_HEADERS doesn't describe {sorted(unknown)}")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
