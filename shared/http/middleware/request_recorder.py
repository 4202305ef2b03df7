"""Records finished requests in metrics and the access log, many at a time."""

import asyncio
import time
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from starlette.types import Scope

from shared.background import BackgroundLoop, Run
from shared.http.middleware.access_log import AccessLog, RequestScope
from shared.http.middleware.request_meter import RequestMeter, RouteTimes
from shared.http.middleware.response_wrapper import ResponseWrapper
from shared.http.request_context import Refusal, context_of

LINES = BackgroundLoop("request_log")
PROBES = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Paths that machines request every few seconds: logged at debug level, never traced."""

FLUSH_INTERVAL = 0.1
"""Longest time in seconds until a line is written. A killed process loses at most these lines."""

MAX_PENDING = 256
"""Largest number of waiting lines."""

CLIENT_GONE = 499
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_Note = tuple[str, str, Any, Any, Any, int, float, float, float, int, str, str | None]


class RequestRecorder:
    """For one event loop: it locks nothing.

    A request pays for a note of what it did. Rendering, counting and writing it at once would cost several times as
    much as for many in one go, when the processor has all that it takes at hand.
    """

    def __init__(self, log: AccessLog) -> None:
        self.in_flight = 0
        self._log = log
        self._meter = RequestMeter()
        self._notes: list[_Note] = []
        self._timer: asyncio.TimerHandle | None = None
        self._rounds = Run(LINES)

    def note(self, scope: Scope, wrapper: ResponseWrapper | Refusal, started: float) -> None:
        """Record a request whose response has ended or whose client has disconnected."""
        trace_id = wrapper.trace_id
        context = context_of(scope)
        wrapper = context.refusal or wrapper
        self._notes.append(
            (
                scope["method"],
                scope["path"],
                scope.get("route"),
                context.principal,
                scope.get("client"),
                wrapper.status or CLIENT_GONE,
                started,
                wrapper.begun,
                wrapper.ended or perf_counter(),
                wrapper.sent_bytes,
                wrapper.request_id,
                trace_id,
            )
        )
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL, self._flush)
        elif len(self._notes) >= MAX_PENDING:
            self._flush()

    def times(self) -> Iterator[RouteTimes]:
        """Yield what was counted since the process began."""
        self.flush()
        return self._meter.times()

    def flush(self) -> None:
        """Count and write the waiting requests."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        notes, self._notes = self._notes, []
        # Durations need the monotonic clock, log lines the wall clock: one offset converts all notes.
        zero = time.time() - perf_counter()
        request_scopes = [_request_scope(note, zero) for note in notes]
        for request_scope in request_scopes:
            self._meter.note(request_scope)
        self._log.write(request_scopes)

    def _flush(self) -> None:
        """Do so for requests, none of which may fail because its line can't be written."""
        with self._rounds:
            self.flush()


def method_of(scope: Scope) -> str:
    """Return the method by its name, if it is a known one: a label must not have any value that clients choose."""
    method: str = scope["method"]
    return method if method in _METHODS else "OTHER"


def route_of(route: Any) -> str | None:
    """Return a route's path as a template."""
    return getattr(route, "path_format", None) or getattr(route, "path", None)


def _request_scope(note: _Note, zero: float) -> RequestScope:
    method, path, route, principal, client, status = note[:6]
    started, begun, ended, sent_bytes, request_id, trace_id = note[6:]
    return RequestScope(
        method=method if method in _METHODS else "OTHER",
        route=route_of(route),
        status=status,
        first_byte=(begun or ended) - started,
        seconds=ended - started,
        sent_bytes=sent_bytes,
        caller=None if principal is None else str(principal.user_id),
        address=client[0] if client else None,
        request_id=request_id,
        trace_id=trace_id,
        ended_at=zero + ended,
        is_probe=path in PROBES,
    )
