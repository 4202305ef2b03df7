"""A short reverse proxy: one address, which forwards each path to the fleet that serves it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

CHUNK = 1 << 16


class ReverseProxy:
    """Sends each request to the port of the longest prefix of its path. One request for each connection."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = dict(ports)
        self.served: dict[int, int] = dict.fromkeys(ports.values(), 0)

    @contextlib.asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator["ReverseProxy"]:
        """Listen."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=CHUNK)
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            request_line, *fields = head.rstrip(b"\r\n").split(b"\r\n")
            port = self._port_of(request_line.split(b" ")[1].decode("latin-1"))
            self.served[port] += 1
            kept = [field for field in fields if not field.lower().startswith(b"connection:")]
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
            to_writer.write(b"\r\n".join([request_line, *kept, b"Connection: close", b"", b""]))
            up = asyncio.create_task(_pour(reader, to_writer))
            await _pour(to_reader, writer)
            up.cancel()
            to_writer.close()
        writer.close()

    def _port_of(self, path: str) -> int:
        return self._ports[max((prefix for prefix in self._ports if path.startswith(prefix)), key=len)]


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(CHUNK):
            target.write(chunk)
            await target.drain()
