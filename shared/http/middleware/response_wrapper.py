"""What goes back to the client: its head is completed, its bytes are counted, its times are noted."""

from collections.abc import Iterable, Sequence
from time import perf_counter

from starlette.types import Message, Send

from shared.http.middleware.security_headers import Header

_NO_CONTENT = 204


class DefaultHeaders:
    """Header fields that answers carry unless they have one of that name already."""

    def __init__(self, headers: Iterable[Header]) -> None:
        self.headers = tuple(headers)
        self._names = frozenset(name for name, _ in self.headers)

    def missing_from(self, own: Sequence[Header]) -> Sequence[Header]:
        """Return those that are missing."""
        names = {name for name, _ in own}
        # The usual case, which needs no copy.
        if self._names.isdisjoint(names):
            return self.headers
        return [header for header in self.headers if header[0] not in names]


class ResponseWrapper:
    """The answer to one request. `status` is 0 before its head is sent; times are those of `perf_counter`.

    What runs after an answer (background tasks) isn't counted as its time.
    """

    __slots__ = (
        "_default_headers",
        "_send",
        "begun",
        "ended",
        "extra_headers",
        "request_id",
        "sent_bytes",
        "status",
        "trace_id",
    )

    def __init__(
        self, send: Send, request_id: str, default_headers: DefaultHeaders, extra_headers: tuple[Header, ...]
    ) -> None:
        self._send = send
        self._default_headers = default_headers
        self.request_id = request_id
        self.trace_id: str | None = None
        """The trace that the request belongs to, if it is known."""

        self.extra_headers = extra_headers
        """Headers that depend on the caller: the allowed origin, the state of the limits."""

        self.status = 0
        self.begun = 0.0
        self.ended = 0.0
        self.sent_bytes = 0

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        kind = message["type"]
        if kind == "http.response.start":
            own = message.get("headers", ())
            if message["status"] == _NO_CONTENT:  # what isn't there has no type (RFC 9110, section 8.3)
                own = [header for header in own if header[0] != b"content-type"]
            message["headers"] = [
                *own,
                *self._default_headers.missing_from(own),
                *self.extra_headers,
                (b"x-request-id", self.request_id.encode()),
            ]
            self.status = message["status"]
            self.begun = perf_counter()
            await self._send(message)
            return
        await self._send(message)
        if kind == "http.response.body":
            # After sending: bytes that could not be sent do not count.
            self.sent_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                self.ended = perf_counter()
