"""The access log: one line for each request with its route, status, duration and client."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.logging import ACCESS, LogFormat


@dataclass(slots=True)
class RequestScope:
    """A request and its answer. `route` is the path's template, so no secret of a path; None: no route was reached.

    `first_byte` and `seconds` tell when the answer began and when it ended, `ended_at` the same in seconds since
    1970; `status` 499: the client had gone.
    """

    method: str
    route: str | None
    status: int
    first_byte: float
    seconds: float
    sent_bytes: int
    caller: str | None
    address: str | None
    request_id: str
    ended_at: float
    trace_id: str | None = None
    is_probe: bool = False


class AccessLog:
    """Writes lines without the detours of the other log, many at a time: a record of it is a block of lines.

    Nothing that a client chose gets into a line but the ids of request and trace (checked) and the address (escaped).
    """

    def __init__(self, log_format: LogFormat) -> None:
        self._log = logging.getLogger(ACCESS)
        self._render = _as_json if log_format == "json" else _as_text
        self._second = -1
        self._timestamp = ""

    def write(self, request_scopes: Sequence[RequestScope]) -> None:
        """Write a line for each, in this order. Health checks are written at level debug only."""
        if self._log.isEnabledFor(logging.DEBUG):
            level, wanted = logging.DEBUG, request_scopes
        else:
            level, wanted = (
                logging.INFO,
                [request_scope for request_scope in request_scopes if not request_scope.is_probe],
            )
        if wanted and self._log.isEnabledFor(level):
            lines = [
                self._render(request_scope, self._timestamp_of(request_scope.ended_at))
                for request_scope in wanted
            ]
            self._log.handle(logging.LogRecord(ACCESS, level, "", 0, "\n".join(lines), None, None))

    def _timestamp_of(self, ended_at: float) -> str:
        second = int(ended_at)
        if second != self._second:
            self._second = second
            self._timestamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._timestamp}.{int((ended_at - second) * 1e6):06d}Z"


def _level(request_scope: RequestScope) -> str:
    return "debug" if request_scope.is_probe else "info"


def _as_json(request_scope: RequestScope, moment: str) -> str:
    route = f'"{request_scope.route}"' if request_scope.route is not None else "null"
    caller = f', "caller": "{request_scope.caller}"' if request_scope.caller is not None else ""
    trace = f', "trace_id": "{request_scope.trace_id}"' if request_scope.trace_id is not None else ""
    return (
        f'{{"event": "request", "method": "{request_scope.method}", "route": {route}, '
        f'"status": {request_scope.status}, '
        f'"seconds": {request_scope.seconds:.6f}, "first_byte": {request_scope.first_byte:.6f}, '
        f'"bytes": {request_scope.sent_bytes}{caller}, "address": {json.dumps(request_scope.address)}, '
        f'"request_id": "{request_scope.request_id}"{trace}, "logger": "{ACCESS}", "level": "{_level(request_scope)}", '
        f'"timestamp": "{moment}"}}'
    )


def _as_text(request_scope: RequestScope, moment: str) -> str:
    caller = f" caller={request_scope.caller}" if request_scope.caller is not None else ""
    trace = f" trace_id={request_scope.trace_id}" if request_scope.trace_id is not None else ""
    return (
        f"{moment} [{_level(request_scope)}] {request_scope.method} {request_scope.route or '(no route)'} "
        f"{request_scope.status} "
        f"in {request_scope.seconds * 1000:.1f} ms, {request_scope.sent_bytes} bytes{caller} "
        f"address={json.dumps(request_scope.address)} request_id={request_scope.request_id}{trace}"
    )
