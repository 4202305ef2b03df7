"""The layer that sees every request and its answer, also what other layers refuse: counts, logs and traces it."""

import logging
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.access_log import AccessLog, Exchange
from shared.http.request_meter import RequestMeter
from shared.trace import Span, is_recording, span

PROBES = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Paths that machines ask every few seconds: logged at debug, and in no trace."""

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_CLIENT_GONE = 499
_SERVER_ERROR = 500


class _Answer:
    """What is sent, as it is sent."""

    __slots__ = ("begun", "ended", "request_id", "send", "sent_bytes", "status")

    def __init__(self, send: Send) -> None:
        self.send = send
        self.status = 0
        self.begun = 0.0
        self.ended = 0.0
        self.sent_bytes = 0
        self.request_id = ""

    async def pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.begun = perf_counter()
            for name, value in reversed(message["headers"]):
                if name == b"x-request-id":
                    self.request_id = value.decode()
                    break
            await self.send(message)
            return
        await self.send(message)
        if message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.ended = perf_counter()


class Observed:
    """To stand outside of the layer that gives answers their `X-Request-Id`, which is read there.

    What runs after an answer (background tasks) isn't counted as its time.
    """

    def __init__(self, app: ASGIApp, *, meter: RequestMeter, log: AccessLog) -> None:
        self._app = app
        self._meter = meter
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        answer = _Answer(send)
        self._meter.in_flight += 1
        failed = True
        try:
            if is_recording() and scope["path"] not in PROBES:
                await self._traced(scope, receive, answer)
            else:
                await self._app(scope, receive, answer.pass_on)
            failed = False
        finally:
            self._meter.in_flight -= 1
            self._note(scope, answer, started, failed=failed)

    async def _traced(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Work in a span. It goes on with the client's; neither path nor query are told, which may hold secrets."""
        parent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        about = {"http.request.method": _method(scope), "url.scheme": str(scope.get("scheme", "http"))}
        with span(_method(scope), "server", parent=parent.decode("latin-1"), about=about) as traced:
            try:
                await self._app(scope, receive, answer.pass_on)
            finally:
                _describe(traced, scope, answer)

    def _note(self, scope: Scope, answer: _Answer, started: float, *, failed: bool) -> None:
        ended = answer.ended or perf_counter()
        status = answer.status or (_SERVER_ERROR if failed else _CLIENT_GONE)
        method, route = _method(scope), _route(scope)
        seconds = ended - started
        self._meter.note(method, route or "", status, seconds=seconds, sent_bytes=answer.sent_bytes)
        principal: Any = scope["state"].get("principal") if "state" in scope else None
        client = scope.get("client")
        exchange = Exchange(
            method=method,
            route=route,
            status=status,
            first_byte=(answer.begun or ended) - started,
            seconds=seconds,
            sent_bytes=answer.sent_bytes,
            caller=str(principal.user_id) if principal is not None else None,
            address=client[0] if client else None,
            request_id=answer.request_id,
        )
        self._log.write(exchange, level=logging.DEBUG if scope["path"] in PROBES else logging.INFO)


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else "OTHER"


def _route(scope: Scope) -> str | None:
    route = scope.get("route")
    return getattr(route, "path_format", None) or getattr(route, "path", None)


def _describe(traced: Span, scope: Scope, answer: _Answer) -> None:
    route = _route(scope)
    if route is not None:
        traced.rename(f"{_method(scope)} {route}")
        traced.note("http.route", route)
    traced.note("tulou.request_id", answer.request_id)
    traced.note("http.response.status_code", answer.status or _CLIENT_GONE)
    if answer.status >= _SERVER_ERROR:
        traced.fail(str(answer.status))
