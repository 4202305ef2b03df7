"""Deadlines for heads and bodies, and limits on the size of heads, which uvicorn lacks."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import httptools
from starlette.types import Scope

from bootstrap.api.protocol.client_limits import ClientLimits, Refused
from bootstrap.api.protocol.connections import Connections
from bootstrap.api.protocol.ignored_upgrades import parser_after_upgrade
from bootstrap.api.protocol.pipelining import END_OF_HEAD, Reading
from bootstrap.api.protocol.targets import in_origin_form, is_origin_form
from bootstrap.api.protocol.unread_responses import UnreadResponses
from bootstrap.api.protocol.write_timeouts import WriteTimeoutProtocol
from shared.errors import AppError
from shared.http.refusals import HeadTooLarge, Late, Malformed, Stopping, UnknownMethod
from shared.http.request_context import context_of

LINGER = 1.0
"""Seconds for which a refused client may go on sending: an immediate close could destroy its answer."""

THROWN_AWAY = 1 << 20
"""Bytes of a refused body that are read and discarded."""

_VERSIONS = frozenset({"1.0", "1.1"})
_FIELD_OVERHEAD = 4  # ": " and the end of the line


class _NothingMore:
    """Replaces a list of fields that is complete."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        """Ignore the field."""


_NOTHING_MORE = _NothingMore()


class DeadlineProtocol(WriteTimeoutProtocol):
    """One connection. A request that arrives in one piece starts no timer."""

    def __init__(
        self,
        *args: Any,
        connections: Connections,
        unread_responses: UnreadResponses,
        limits: ClientLimits,
        refusal: Callable[[Refused], bytes],
        is_endless: Callable[[Scope], bool],
        **keywords: Any,
    ) -> None:
        super().__init__(*args, write_timeout=limits.write, **keywords)
        self._open_connections = connections
        self._unread_responses = unread_responses
        self._client_limits = limits
        self._refusal = refusal
        self._is_endless = is_endless
        self._awaited = Reading.NOTHING
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False
        self._fact: AppError | None = None
        self._packet = 0
        self._head_bytes = 0
        self._thrown_away = 0
        self._body_bytes = 0
        self._began = False
        self._started = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first head, or refuse the connection."""
        super().connection_made(transport)
        refused = self._open_connections.add(self, self._address)
        if refused is None:
            self._await(Reading.HEAD)
        elif self._open_connections.may_respond(self):
            self._respond_with(refused, linger=LINGER, is_request=False)
        else:
            self._refused = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection, and cancel its deadline."""
        self._open_connections.remove(self, self._address)
        self._unread_responses.remove(self, self._address)
        self._await(Reading.NOTHING)
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered or received except, perhaps, a head."""
        return not self._is_answering() and self._reading is not Reading.BODY

    def is_scheduled(self) -> bool:
        """Return whether its address has many connections."""
        return self._open_connections.are_many(self._address)

    def close_idle(self) -> None:
        """Free the descriptor at once: another connection needs it. What the client has not read is lost."""
        if self.has_unread:
            self.transport.abort()
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Count what the client has not read."""
        super().pause_writing()
        self._unread_responses.add(self, self._address, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Stop counting it."""
        self._unread_responses.remove(self, self._address)
        super().resume_writing()

    def abort(self) -> None:
        """Close at once; what the client has not read is lost."""
        self.transport.abort()

    def feed(self, data: bytes | memoryview) -> bool:
        """Parse `data`, and set the deadline for the rest of the request."""
        if self._refused:
            self._throw_away(len(data))
            return False
        # The state before parsing: `_count` needs to know whether this data has completed something.
        before, self._packet, self._began = self._reading, len(data), False
        arrived = self._body_bytes
        try:
            self._feed(data)
        except httptools.HttpParserInvalidMethodError:
            self._refuse(UnknownMethod())
            return False
        except httptools.HttpParserError:
            self._refuse(self._fact or Malformed())
            return False
        if not self._count(data, before, has_body=self._body_bytes > arrived):
            self._refuse(HeadTooLarge())
            return False
        self._await(self._missing())
        return True

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._began, self._head_bytes = True, 0
        self._started = perf_counter()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Check a complete head, and bring its target into origin form."""
        if self.parser.get_http_version() not in _VERSIONS:  # the parser takes 0.9 and 2.0 too
            self._fact = Malformed()
            raise self._fact
        # CONNECT asks for a tunnel, which only a proxy provides.
        if self.parser.get_method() == b"CONNECT":
            self._fact = UnknownMethod()
            raise self._fact
        if len(self.headers) > self._client_limits.max_headers or self._is_head_too_long():
            self._fact = HeadTooLarge()
            raise self._fact
        if not is_origin_form(self.url):
            self.url = in_origin_form(self.url, self.parser.get_method(), self.scope)
        super().on_headers_complete()
        # The parser would append trailers to the fields of the head, unchecked.
        self.headers = _NOTHING_MORE  # type: ignore[assignment]  # only appended to

    def on_body(self, body: bytes) -> None:
        """Count the bytes of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request, unless the parser has stopped for an upgrade: then its body is still to come."""
        if self.parser.should_upgrade():
            return
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Keep the deadline of a head that has begun, and hang up if the body of this request is incomplete."""
        super().on_response_complete()
        if self._reading is Reading.HEAD:
            self._unset_keepalive_if_required()
        elif self._reading is Reading.BODY and not self.pipeline and not self.transport.is_closing():
            self._hang_up(linger=LINGER)

    def shutdown(self) -> None:
        """Close event streams, and give incomplete bodies most of the time that is left."""
        super().shutdown()
        if self._reading is Reading.BODY and not self._refused:
            self._unset_deadline()
            # An incomplete body may never come; a complete request is left to end.
            self._deadline = self.loop.call_later(self._client_limits.stop, self._refuse, Stopping())
        elif self._is_answering() and self._is_endless(self._asked):
            self.transport.close()

    def give_up(self) -> None:
        """Close at the end of the time for a stop, with a problem document where no answer has begun."""
        if self._is_answering():
            context_of(self._asked).is_abandoned = True
        if self._refused:
            return
        # A response that has begun can't become a problem document, and one for a later request would answer
        # the wrong one.
        if not self._is_answering() or self.cycle.response_started or self.pipeline:
            self._disconnect()
            self.transport.abort()
        else:
            self._respond_with(Stopping(), linger=LINGER / 2)

    def _count(self, data: bytes | memoryview, before: Reading, *, has_body: bool) -> bool:
        """Count the bytes of an incomplete head, chunk line or trailer; return whether they are within the limit.

        The parser collects a field until it ends, also one of a trailer.
        """
        if self._began:
            is_unfinished = self._reading is Reading.HEAD
            self._head_bytes = len(bytes(data).rpartition(END_OF_HEAD)[2]) if is_unfinished else 0
        elif self._reading is not before or has_body:
            self._head_bytes = 0
        else:
            self._head_bytes += len(data)
        return self._head_bytes <= self._client_limits.max_head_bytes

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse `data`. An upgrade is ignored: the request continues as HTTP/1.1 (RFC 9110, section 7.8)."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self.parser = parser_after_upgrade(self, self.scope["headers"])
            if rest := data[stopped.args[0] :]:
                self._feed(rest)

    def _missing(self) -> Reading:
        """Return the part of a request that is awaited. Bytes between requests count as a head."""
        if self._reading is Reading.NOTHING and not self._is_answering():
            return Reading.HEAD
        return self._reading

    def _is_answering(self) -> bool:
        return not getattr(
            self.cycle, "response_complete", True
        )  # before the first request there is no cycle

    def _is_head_too_long(self) -> bool:
        limit = self._client_limits.max_head_bytes
        if self._packet + self._head_bytes <= limit:
            return False
        fields = sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in self.headers)
        return fields + len(self.url) > limit

    def _await(self, what: Reading) -> None:
        if what is self._awaited:
            return
        self._unset_deadline()
        self._awaited, self._body_bytes = what, 0
        if what is Reading.HEAD:
            self._deadline = self.loop.call_later(self._client_limits.head, self._head_is_late)
        elif what is Reading.BODY:
            self._deadline = self.loop.call_later(self._client_limits.body, self._body_is_late)

    def _head_is_late(self) -> None:
        if self.flow.read_paused:  # the server is behind, not the client
            self._deadline = self.loop.call_later(self._client_limits.head, self._head_is_late)
        elif self._reading is Reading.HEAD:
            self._refuse(Late())
        else:
            self.transport.close()

    def _body_is_late(self) -> None:
        # A minimum per period, not per byte: slow connections come in bursts.
        arrived, self._body_bytes = self._body_bytes, 0
        # Then the server waits for the application or has not asked for the body yet: the client is not late.
        is_ours = self.flow.read_paused or self.cycle.waiting_for_100_continue
        is_in_time = perf_counter() - self._started < self._client_limits.whole_body
        if is_ours or (is_in_time and arrived >= self._client_limits.body_bytes):
            self._deadline = self.loop.call_later(self._client_limits.body, self._body_is_late)
        else:
            self._refuse(Late())

    def _refuse(self, error: AppError) -> None:
        """Close, with a problem document if no answer has begun."""
        self._refused = True
        self._unset_deadline()
        if self._is_answering():
            if self._reading is not Reading.BODY:  # earlier requests are complete and are answered first
                self.cycle.keep_alive = False
                return
            self._disconnect()
            if self.cycle.response_started or self.pipeline:
                self.transport.close()
                return
        elif self._reading is Reading.BODY:  # it was answered before its body was complete
            self.transport.close()
            return
        self._respond_with(error, linger=LINGER)

    def _respond_with(self, error: AppError, *, linger: float, is_request: bool = True) -> None:
        self.transport.write(self._refusal(self._known_of(error, is_request=is_request)))
        self._disconnect()
        self._hang_up(linger=linger)

    def _throw_away(self, size: int) -> None:
        """Discard a limited number of bytes, for clients that read their answer only after they have sent all."""
        self._thrown_away += size
        if self._thrown_away > THROWN_AWAY:
            self.flow.hold()

    def _hang_up(self, *, linger: float) -> None:
        """Close after `linger` seconds, so that the client can read its answer first (RFC 9112, section 9.6)."""
        self._refused, self._unparsed = True, b""
        self._unset_deadline()
        self._unset_keepalive_if_required()
        self.flow.release()
        # Half-closed, the client learns that nothing follows and still can send what it has begun.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(linger, self.transport.abort)

    @property
    def _asked(self) -> Any:
        """The scope of the request that the application is answering."""
        return self.cycle.scope

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _known_of(self, error: AppError, *, is_request: bool) -> Refused:
        is_head = self._reading is Reading.HEAD
        asked = self._asked if self._is_answering() else None
        read = self.scope if is_head else asked
        return Refused(
            error=error,
            asked=asked,
            headers=() if read is None else list(read["headers"]),
            # Before it has read a method the parser reports a wrong one; the target follows the method.
            method=self.parser.get_method().decode("ascii") if is_head and self.url else "",
            client=self.client,
            started=self._started if is_head else perf_counter(),
            is_request=is_request,
        )

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
