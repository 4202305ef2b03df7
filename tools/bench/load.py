"""A load generator: one process, one event loop, raw sockets that are kept open, one request in flight on each.

Reads a plan as JSON on standard input and prints what it saw as JSON.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

from tools.bench.processes import run_on, spare_core

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Plan:
    """What to send: `requests` are whole HTTP messages, in Latin-1, sent in turn. Times in seconds."""

    port: int
    requests: list[str]
    connections: int = 32
    seconds: float = 4.0
    pause: float = 0.0
    """Seconds that each connection rests between an answer and its next request."""


@dataclass(frozen=True)
class Seen:
    """What came back. Times in milliseconds."""

    answers: int
    seconds: float
    p50: float
    p99: float
    longest: float
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    def require(self, *statuses: int) -> "Seen":
        """Return itself, if every answer had one of these statuses; else raises RuntimeError."""
        if not self.statuses or not set(self.statuses) <= {str(status) for status in statuses}:
            raise RuntimeError(f"the server answered {self.statuses}, not {statuses}")
        return self


class _Connection(asyncio.Protocol):
    """Sends, waits for the whole answer, notes the time, sends again."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._transport: Any = None
        self._buffer = b""
        self._missing = 0
        self._status = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._begin(self._buffer + data)
        if self._status and self._missing <= 0:
            self._load.note(self._status, time.perf_counter() - self._sent_at)
            self._status = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._load.lost(answered=not self._status and not self._buffer)

    def _begin(self, data: bytes) -> None:
        head, end, body = data.partition(_END_OF_HEAD)
        if not end:
            self._buffer = data
            return
        self._buffer = b""
        self._status = head[9:12]
        _, _, after = head.lower().partition(_LENGTH)
        self._missing = int(after.partition(b"\r\n")[0] or 0) - len(body)

    def _next(self) -> None:
        if self._load.is_over:
            self._transport.close()
        elif self._load.plan.pause:
            self._load.loop.call_later(self._load.plan.pause, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if self._load.is_over:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._load.request())


class _Load:
    """What the connections share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.is_over = False
        self._requests = [request.encode("latin-1") for request in plan.requests]
        self._turn = 0
        self._open = 0
        self._closed = asyncio.Event()
        self._latencies: list[float] = []
        self._statuses: Counter[str] = Counter()

    def request(self) -> bytes:
        self._turn += 1
        return self._requests[self._turn % len(self._requests)]

    def note(self, status: bytes, latency: float) -> None:
        self._latencies.append(latency)
        self._statuses[status.decode()] += 1

    def lost(self, *, answered: bool) -> None:
        self._open -= 1
        if not self.is_over or not answered:
            self._statuses["broken"] += 1
        if not self._open:
            self._closed.set()

    async def run(self) -> Seen:
        begun = time.perf_counter()
        for _ in range(self.plan.connections):
            await self.loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.plan.port)
            self._open += 1
        await asyncio.sleep(self.plan.seconds)
        self.is_over = True
        ended = time.perf_counter()
        answers = len(self._latencies)
        async with asyncio.timeout(30):
            await self._closed.wait()
        found = sorted(self._latencies)
        return Seen(
            answers=answers,
            seconds=ended - begun,
            p50=1000 * _percentile(found, 50),
            p99=1000 * _percentile(found, 99),
            longest=1000 * _percentile(found, 100),
            statuses=dict(self._statuses),
        )


def _percentile(ascending: list[float], percent: float) -> float:
    return ascending[max(0, round(len(ascending) * percent / 100) - 1)] if ascending else 0.0


async def _carry_out(plan: Plan) -> Seen:
    return await _Load(plan).run()


def main() -> None:
    """Carry out the plan."""
    run_on(spare_core())
    plan = Plan(**json.loads(sys.stdin.read()))
    sys.stdout.write(json.dumps(asdict(uvloop.run(_carry_out(plan)))))


if __name__ == "__main__":
    main()
