"""The edge middleware, in front of every route: assigns request ids, checks requests, completes responses."""

import re
from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import AppError, InternalError
from shared.http.middleware.cross_origin import CrossOrigin
from shared.http.middleware.request_guard import RequestGuard, has_body
from shared.http.middleware.request_recorder import (
    CLIENT_GONE,
    PROBES,
    RequestRecorder,
    method_of,
    route_of,
)
from shared.http.middleware.response_wrapper import DefaultHeaders, ResponseWrapper
from shared.http.middleware.security_headers import Header
from shared.http.problems import ProblemWriter
from shared.http.request_context import context_of
from shared.ids import new_request_id
from shared.logging import get_logger
from shared.trace import Span, Trace, current_trace, is_recording, span, trace_id_of, tracing

logger = get_logger(__name__)
# Ids are written to logs and headers, so only characters that can't forge a line are accepted.
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SERVER_ERROR = 500
_SERVER_WIDE = "*"
"""The target of OPTIONS that asks about the server as a whole (RFC 9110, section 9.3.7)."""
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

Fields = Mapping[bytes, bytes]


class EdgeMiddleware:
    """It takes or makes `X-Request-Id`, and works under it and the client's trace; every request is recorded.

    One layer and not five: each costs a coroutine and a function around `send`, tens of microseconds of a request that
    takes four hundred. `headers` are added where an answer has none of that name.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        guard: RequestGuard,
        problems: ProblemWriter,
        request_recorder: RequestRecorder,
        headers: Sequence[Header] = (),
        cross_origin: CrossOrigin | None = None,
    ) -> None:
        self._app = app
        self._guard = guard
        self._problems = problems
        self._request_recorder = request_recorder
        self._default_headers = DefaultHeaders(headers)
        self._cross_origin = cross_origin or CrossOrigin(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        # Of a repeated field the last one stays; the guard rejects repeated single-valued fields.
        fields: dict[bytes, bytes] = dict(scope["headers"])
        granted = self._cross_origin.headers(fields.get(b"origin", b""))
        wrapper = ResponseWrapper(send, _request_id(fields), self._default_headers, granted)
        traceparent = _traceparent(fields)
        # Also without traces, so that log lines can be joined with the client's trace.
        wrapper.trace_id = trace_id_of(traceparent)
        self._request_recorder.in_flight += 1
        try:
            with tracing(Trace(wrapper.request_id, traceparent)):
                # Health checks run every few seconds and would dominate the traces.
                if is_recording() and scope["path"] not in PROBES:
                    await self._traced(scope, fields, receive, wrapper)
                else:
                    await self._handle(scope, fields, receive, wrapper)
        finally:
            # Also after an exception: the access log has a line for every request.
            self._request_recorder.in_flight -= 1
            self._request_recorder.note(scope, wrapper, started)

    async def _traced(self, scope: Scope, fields: Fields, receive: Receive, wrapper: ResponseWrapper) -> None:
        """Work in a span that continues the client's. It has neither path nor query, which may hold secrets."""
        parent = fields.get(b"traceparent", b"").decode("latin-1")
        about = {"http.request.method": method_of(scope), "url.scheme": str(scope.get("scheme", "http"))}
        with span(method_of(scope), "server", parent=parent, about=about) as traced:
            wrapper.trace_id = trace_id_of(current_trace().traceparent)
            try:
                await self._handle(scope, fields, receive, wrapper)
            finally:
                _describe(traced, scope, wrapper)

    async def _handle(self, scope: Scope, fields: Fields, receive: Receive, wrapper: ResponseWrapper) -> None:
        """Check and handle a request. An unexpected error becomes a 500 without details, which are in the log.

        Starlette's own handler of errors stands outside of every layer, where the request has no id.
        """
        try:
            try:
                if scope["method"] == "OPTIONS" and await self._handle_options(
                    scope, fields, receive, wrapper
                ):
                    return
                self._guard.admit(scope, fields, wrapper)
                receive = await self._guard.body(scope, fields, receive) if has_body(fields) else receive
            except AppError as error:
                response = self._problems.response(error, scope["path"])
                if has_body(fields):
                    # The body is unread: on a kept connection its bytes would be parsed as the
                    # next request.
                    response.headers["Connection"] = "close"
                await response(scope, receive, wrapper.send)
                return
            if scope["method"] == "HEAD" and not self._guard.has_head(scope):
                await self._handle_head(scope, receive, wrapper.send)
            else:
                await self._app(scope, receive, wrapper.send)
        except CancelledError:
            # The server cancels requests at the end of the grace period and responds to them itself.
            if not context_of(scope).is_abandoned:
                raise
        except ClientDisconnect:
            # The client has disconnected, so no response can be sent; this is no error of the server.
            logger.info("client_went_away", route=route_of(scope.get("route")))
        except Exception:
            logger.exception("unexpected_error", method=method_of(scope), route=route_of(scope.get("route")))
            if wrapper.status:
                raise  # a response that has begun can only be cut off
            await self._problems.response(InternalError(), scope["path"])(scope, receive, wrapper.send)

    async def _handle_options(
        self, scope: Scope, fields: Fields, receive: Receive, wrapper: ResponseWrapper
    ) -> bool:
        """Answer CORS preflights and `OPTIONS *`, and no other OPTIONS request."""
        if self._cross_origin.is_preflight(fields):
            await self._cross_origin.answer(fields, wrapper.send)
            return True
        if scope["path"] != _SERVER_WIDE:
            return False
        self._guard.admit(scope, fields, wrapper)
        await Response(status_code=204, headers={"Allow": _METHODS})(scope, receive, wrapper.send)
        return True

    async def _handle_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as GET does, without the body (RFC 9110, section 9.3.2). A stream ends where it would begin."""
        ended = False

        async def send_head(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        # A copy, because the access log needs the original method.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        finally:
            # The router has written the route into the copy; the access log reads it from the original.
            scope.update(
                {name: asked[name] for name in ("route", "endpoint", "path_params") if name in asked}
            )


def _request_id(fields: Fields) -> str:
    given = fields.get(b"x-request-id")
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode()
    return new_request_id()


def _traceparent(fields: Fields) -> str | None:
    given = fields.get(b"traceparent")
    return given.decode() if given is not None and _TRACEPARENT.fullmatch(given) else None


def _describe(traced: Span, scope: Scope, wrapper: ResponseWrapper) -> None:
    route = route_of(scope.get("route"))
    if route is not None:
        traced.rename(f"{method_of(scope)} {route}")
        traced.note("http.route", route)
    traced.note("tulou.request_id", wrapper.request_id)
    traced.note("http.response.status_code", wrapper.status or CLIENT_GONE)
    if wrapper.status >= _SERVER_ERROR:
        traced.fail(str(wrapper.status))
