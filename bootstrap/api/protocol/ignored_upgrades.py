"""Parse the rest of a request whose offer to upgrade the protocol is ignored (RFC 9110, section 7.8)."""

from collections.abc import Iterable
from typing import Any

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


def parser_after_upgrade(
    protocol: Any, headers: Iterable[tuple[bytes, bytes]]
) -> httptools.HttpRequestParser:
    """Return a parser for the bytes after a head with these fields, which say how long the body is.

    It calls `protocol` as the first parser did, which stopped at the end of that head.
    """
    parser = httptools.HttpRequestParser(_SkipFirstHead(protocol))
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
    framing = [b"%b: %b\r\n" % field for field in headers if field[0] in _FRAMING]
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
    return parser


class _SkipFirstHead:
    """Passes on the events of a parser, except those of the first head, which `protocol` has had."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._is_known = True

    def on_message_begin(self) -> None:
        if not self._is_known:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_known:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_known:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._is_known:
            self._protocol.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        self._is_known = False
        self._protocol.on_message_complete()
