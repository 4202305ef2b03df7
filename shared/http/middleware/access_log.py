"""One line for each request: what was asked, what came of it, how long it took, and who asked."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.logging import ACCESS, LogFormat


@dataclass(slots=True)
class Exchange:
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
        self._moment = ""

    def write(self, exchanges: Sequence[Exchange]) -> None:
        """Write a line for each, in this order: of probes only where lines for debugging are wanted."""
        if self._log.isEnabledFor(logging.DEBUG):
            level, wanted = logging.DEBUG, exchanges
        else:
            level, wanted = logging.INFO, [exchange for exchange in exchanges if not exchange.is_probe]
        if wanted and self._log.isEnabledFor(level):
            lines = [self._render(exchange, self._moment_of(exchange.ended_at)) for exchange in wanted]
            self._log.handle(logging.LogRecord(ACCESS, level, "", 0, "\n".join(lines), None, None))

    def _moment_of(self, ended_at: float) -> str:
        second = int(ended_at)
        if second != self._second:
            self._second = second
            self._moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._moment}.{int((ended_at - second) * 1e6):06d}Z"


def _level(exchange: Exchange) -> str:
    return "debug" if exchange.is_probe else "info"


def _as_json(exchange: Exchange, moment: str) -> str:
    route = f'"{exchange.route}"' if exchange.route is not None else "null"
    caller = f', "caller": "{exchange.caller}"' if exchange.caller is not None else ""
    trace = f', "trace_id": "{exchange.trace_id}"' if exchange.trace_id is not None else ""
    return (
        f'{{"event": "request", "method": "{exchange.method}", "route": {route}, "status": {exchange.status}, '
        f'"seconds": {exchange.seconds:.6f}, "first_byte": {exchange.first_byte:.6f}, '
        f'"bytes": {exchange.sent_bytes}{caller}, "address": {json.dumps(exchange.address)}, '
        f'"request_id": "{exchange.request_id}"{trace}, "logger": "{ACCESS}", "level": "{_level(exchange)}", '
        f'"timestamp": "{moment}"}}'
    )


def _as_text(exchange: Exchange, moment: str) -> str:
    caller = f" caller={exchange.caller}" if exchange.caller is not None else ""
    trace = f" trace_id={exchange.trace_id}" if exchange.trace_id is not None else ""
    return (
        f"{moment} [{_level(exchange)}] {exchange.method} {exchange.route or '(no route)'} {exchange.status} "
        f"in {exchange.seconds * 1000:.1f} ms, {exchange.sent_bytes} bytes{caller} "
        f"address={json.dumps(exchange.address)} request_id={exchange.request_id}{trace}"
    )
