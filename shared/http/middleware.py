"""The few layers in front of every route, as plain ASGI: the request's id, and the limits of what is read."""

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import AppError, BadRequest, TooLarge
from shared.http.problems import ProblemWriter
from shared.ids import new_id
from shared.trace import Trace, tracing

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MAX_QUERY = 8192
"""Bytes of a query string."""


class BodyTooLarge(TooLarge):
    """The body is larger than this operation reads."""

    code = "request.body_too_large"
    detail = "The body is too large for this operation."


class BadQuery(BadRequest):
    """The path or the query holds bytes that are no text, or is endless."""

    code = "request.bad_query"
    detail = "Path and query must be percent-encoded UTF-8 without NUL, the query at most 8 KiB."


class AmbiguousLength(BadRequest):
    """Two headers disagree about where the body ends (RFC 9112, section 6.1)."""

    code = "request.ambiguous_length"
    detail = "Send either Content-Length or Transfer-Encoding."


class RequestIds:
    """Takes or makes `X-Request-Id`, works under it, and returns it with every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else str(new_id())
        parent = headers.get("traceparent", "")

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with tracing(Trace(request_id, parent if _TRACEPARENT.fullmatch(parent) else None)):
            await self._app(scope, receive, send_with_id)


class RequestLimits:
    """Refuses what is too large or ambiguous before a route sees it.

    A body is read here, up to `max_body` bytes, and handed on; routes for which `streams` is true read by themselves.
    """

    def __init__(
        self, app: ASGIApp, *, problems: ProblemWriter, max_body: int, streams: Callable[[Scope], bool]
    ) -> None:
        self._app = app
        self._problems = problems
        self._max_body = max_body
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _check_address(scope)
            headers = Headers(scope=scope)
            _check_lengths(headers)
            if _has_body(headers) and not self._streams(scope):
                receive = await self._read(headers, receive)
        except AppError as error:
            response = self._problems.response(error, scope["path"])
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _read(self, headers: Headers, receive: Receive) -> Receive:
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or len(declared) > 18 or int(declared) > self._max_body:  # noqa: PLR2004  # digits of 2**63
            raise BodyTooLarge(limit=self._max_body)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return _replay([message], receive)
            body += message.get("body", b"")
            if len(body) > self._max_body:
                raise BodyTooLarge(limit=self._max_body)
            if not message.get("more_body", False):
                whole = {"type": "http.request", "body": bytes(body), "more_body": False}
                return _replay([whole], receive)


def _replay(messages: Iterable[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replay() -> Message:
        for message in waiting:
            return message
        return await receive()

    return replay


def _check_address(scope: Scope) -> None:
    query: bytes = scope["query_string"]
    if len(query) > MAX_QUERY or not _is_text(query) or "\x00" in scope["path"]:
        raise BadQuery
    if "\ufffd" in scope["path"] and not _is_text(scope.get("raw_path") or b""):
        raise BadQuery


def _is_text(encoded: bytes) -> bool:
    decoded = unquote_to_bytes(encoded)
    if b"\x00" in decoded:
        return False
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _check_lengths(headers: Headers) -> None:
    lengths: list[Any] = headers.getlist("content-length")
    if len(lengths) > 1 or (lengths and "transfer-encoding" in headers):
        raise AmbiguousLength


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
