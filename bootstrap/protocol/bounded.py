"""HTTP/1.1 with a bound for what waits on a connection: requests that a client sends before it has its answers."""

import asyncio
from enum import Enum, auto
from functools import partial
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bootstrap.protocol.turns import Turns

END_OF_HEAD = b"\r\n\r\n"
_OF_UNKNOWN_LENGTH = 128
"""Bytes of a chunked body that are parsed at least in one go. A few requests may hide behind its end."""


class Reading(Enum):
    """What a connection is in the middle of."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class HeldFlow(FlowControl):
    """Doesn't resume reading while it is held: what has arrived waits for earlier answers."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.is_held = False

    def hold(self) -> None:
        """Read nothing until `release`."""
        self.is_held = True
        self.pause_reading()

    def release(self) -> None:
        """Read on."""
        self.is_held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.is_held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """Parses only as much as there is room for; the rest stays unparsed here, and unread in the kernel.

    uvicorn makes a cycle of each request that one read brings (thousands fit into one), and resumes reading for the
    request that is being answered whatever waits behind it. Here at most `most_waiting` requests wait, or 64 KiB of
    them, and of what isn't parsed at most one read is kept, 250 KiB.
    """

    flow: HeldFlow

    def __init__(self, *args: Any, most_waiting: int, turns: Turns, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._reading = Reading.NOTHING
        self._most_waiting = most_waiting
        self._turns = turns
        self._unparsed = b""
        self._waiting_bytes = 0
        self._body_length: int | None = None
        self._body_arrived = 0
        self._is_following = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Control its flow."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what waits: each request refers to this connection, and would keep it until a search for garbage."""
        super().connection_lost(exc)
        self._unparsed = b""
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Parse what there is room for."""
        self._unset_keepalive_if_required()
        if self._unparsed:
            self._unparsed += data
        else:
            self._parse(data)

    def takes_turns(self) -> bool:
        """Tell whether this connection is one of so many that each of their requests waits for its turn."""
        return False

    def feed(self, data: bytes | memoryview) -> bool:
        """Parse all of this; return whether more may follow."""
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
        """Go on with what waits."""
        self._is_following = True
        super().on_response_complete()
        self._is_following = False
        if not self.pipeline:
            self._waiting_bytes = 0
        if self.flow.is_held and len(self.pipeline) <= self._most_waiting // 2 and not self._is_full():
            self.loop.call_soon(self._go_on)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._is_following or self.takes_turns():
            start = partial(super()._start_asgi_task, cycle, app)
            self._turns.take(partial(self._start_unless_gone, start))
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
            return  # the last of those that wait ends the connection
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
        """Return up to where to parse, so that no more heads end there than requests may wait."""
        if self._reading is Reading.BODY:
            left = self._length_of_body() - self._body_arrived
            if left > 0:
                return min(start + left, len(data))
        elif self._reading is Reading.HEAD and (line := data.find(b"\n", start, start + 3)) >= 0:
            return line + 1  # the end of a head may have begun in the data before
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
        """Return what Content-Length says; 0 for a chunked body."""
        if self._body_length is None:
            lengths = [value for name, value in self.scope["headers"] if name == b"content-length"]
            self._body_length = int(lengths[0]) if lengths else 0
        return self._body_length
