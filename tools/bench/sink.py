"""A mail server that takes everything and keeps nothing, as fast as Python can; prints its port."""

import asyncio
import sys
from typing import Any

import uvloop

_REPLIES = {b"EHLO": b"250-sink\r\n250 SIZE 50000000\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}


class _SmtpSession(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._waiting = b""
        self._in_content = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while self._step():
            pass

    def _step(self) -> bool:
        end = b"\r\n.\r\n" if self._in_content else b"\r\n"
        line, found, rest = self._waiting.partition(end)
        if not found:
            return False
        self._waiting = rest
        if self._in_content:
            self._in_content = False
            self._transport.write(b"250 taken\r\n")
            return True
        command = line[:4].upper()
        self._in_content = command == b"DATA"
        self._transport.write(_REPLIES.get(command, b"250 fine\r\n"))
        if command == b"QUIT":
            self._transport.close()
        return True


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_SmtpSession, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
