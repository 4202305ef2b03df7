"""HTTP/1.1 with limits on pipelining: on requests that a client sends before it has the earlier answers."""

import asyncio
from enum import Enum, auto
from functools import partial
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bootstrap.api.protocol.request_scheduler import RequestScheduler

END_OF_HEAD = b"\r\n\r\n"
_OF_UNKNOWN_LENGTH = 128
"""Least number of bytes of a chunked body that are parsed at once. A few requests may follow its end among them."""


class Reading(Enum):
    """The part of a request that a connection is receiving."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class HeldFlow(FlowControl):
    """Flow control that does not resume reading while it is held, so that requests wait for earlier answers."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.is_held = False

    def hold(self) -> None:
        """Pause reading until `release`."""
        self.is_held = True
        self.pause_reading()

    def release(self) -> None:
        """Resume reading."""
        self.is_held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Resume reading, unless it is held."""
        if not self.is_held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """Parses only as many requests as may wait; the rest stays unparsed here or unread in the kernel.

    uvicorn makes a cycle of each request in a read (thousands fit into one), and resumes reading for the request that
    is being answered even while others wait behind it. Here at most `most_waiting` requests wait, or 64 KiB of
    them, and of what isn't parsed at most one read is kept, 250 KiB.
    """

    flow: HeldFlow

    def __init__(self, *args: Any, most_waiting: int, scheduler: RequestScheduler, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._reading = Reading.NOTHING
        self._most_waiting = most_waiting
        self._scheduler = scheduler
        self._unparsed = b""
        self._waiting_bytes = 0
        self._body_length: int | None = None
        self._body_arrived = 0
        self._is_following = False
        self._answered: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take control of the flow of the connection."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the disconnect to the request that is being answered, and drop those that wait.

        Those refer to this connection, and would keep it until a garbage collection. uvicorn reports the disconnect to
        the last request that was read, so that the answer to an earlier one would be written to a closed transport.
        """
        self._disconnect()
        self._answered = None
        super().connection_lost(exc)
        self._unparsed = b""
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Parse as many requests as may wait."""
        self._unset_keepalive_if_required()
        if self._unparsed:
            self._unparsed += data
        else:
            self._parse(data)

    def is_scheduled(self) -> bool:
        """Return whether the address has so many connections that its requests start in turns."""
        return False

    def feed(self, data: bytes | memoryview) -> bool:
        """Parse all of `data`; return whether more may be parsed."""
        raise NotImplementedError

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._reading = Reading.HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin a body."""
        super().on_headers_complete()
        self._reading = Reading.BODY
        self._body_length, self._body_arrived = None, 0

    def on_body(self, body: bytes) -> None:
        """Count what arrives."""
        self._body_arrived += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._reading = Reading.NOTHING
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next waiting request, and parse more once few are left."""
        self._is_following = True
        super().on_response_complete()
        self._is_following = False
        if not self.pipeline:
            self._waiting_bytes = 0
        if self.flow.is_held and len(self.pipeline) <= self._most_waiting // 2 and not self._is_full():
            self.loop.call_soon(self._go_on)

    def _disconnect(self) -> None:
        """Report a disconnect to the application: the connection is about to be closed."""
        for cycle in (self._answered, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                # Wakes an application that waits for the body.
                cycle.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        if self._is_following or self.is_scheduled():
            start = partial(super()._start_asgi_task, cycle, app)
            self._scheduler.schedule(partial(self._start_unless_gone, start))
        else:
            super()._start_asgi_task(cycle, app)

    def _start_unless_gone(self, start: "partial[None]") -> None:
        if not self.transport.is_closing():
            start()

    def _parse(self, data: bytes) -> None:
        start, size = 0, len(data)
        while start < size and not self._is_full():
            end = self._end_of_portion(data, start)
            if self.pipeline:
                self._waiting_bytes += end - start
            if not self.feed(data if end - start == size else memoryview(data)[start:end]):
                return
            start = end
        if self._is_full():
            self._unparsed = data[start:]
            self.flow.hold()

    def _go_on(self) -> None:
        if self.transport.is_closing() or not self.flow.is_held:
            return
        if not self.cycle.keep_alive:
            return  # the last waiting request closes the connection
        self._unset_keepalive_if_required()
        unparsed, self._unparsed = self._unparsed, b""
        self.flow.release()
        self._parse(unparsed)

    def _is_full(self) -> bool:
        waiting = self.pipeline
        return bool(waiting) and (
            len(waiting) >= self._most_waiting or self._waiting_bytes > HIGH_WATER_LIMIT
        )

    def _end_of_portion(self, data: bytes, start: int) -> int:
        """Return the offset up to which to parse, so that no more heads end before it than requests may wait."""
        if self._reading is Reading.BODY:
            left = self._length_of_body() - self._body_arrived
            if left > 0:
                return min(start + left, len(data))
        elif self._reading is Reading.HEAD and (line := data.find(b"\n", start, start + 3)) >= 0:
            return line + 1  # the end of the head may have begun in the previous data
        end = start
        for _ in range(self._most_waiting - len(self.pipeline)):
            found = data.find(END_OF_HEAD, end)
            if found < 0:
                return len(data)
            end = found + len(END_OF_HEAD)
        if self._reading is Reading.BODY:
            return min(max(end, start + _OF_UNKNOWN_LENGTH), len(data))
        return end

    def _length_of_body(self) -> int:
        """Return the value of Content-Length; 0 for a chunked body."""
        if self._body_length is None:
            lengths = [value for name, value in self.scope["headers"] if name == b"content-length"]
            self._body_length = int(lengths[0]) if lengths else 0
        return self._body_length
