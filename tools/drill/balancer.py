"""A TCP balancer: one address in front of several servers, which can be taken out and put in."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

CHUNK = 1 << 16
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Balancer:
    """Hands each new connection to the next of `backends`; connections that stand are left alone."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.backends: list[str] = []
        self.taken = 0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._open: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Balancer"]:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        try:
            yield self
        finally:
            self._server.close()
            for pipe in self._pipes:
                pipe.cancel()
            await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url = self.backends[self.taken % len(self.backends)]
        self.taken += 1
        self._open[url] += 1
        pipe = asyncio.create_task(self._pipe(url, (reader, writer)))
        self._pipes.add(pipe)
        pipe.add_done_callback(self._pipes.discard)

    async def _pipe(self, url: str, client: Ends) -> None:
        backend = urlsplit(url)
        try:
            server = await asyncio.open_connection(backend.hostname, backend.port)
            await _both_ways(client, server)
        except OSError:
            client[1].transport.abort()
        finally:
            self._open[url] -= 1

    async def drain(self, url: str, *, seconds: float = 30) -> None:
        """Send nothing more to a server, and wait until its connections have ended."""
        self.backends.remove(url)
        async with asyncio.timeout(seconds):
            while self._open[url]:
                await asyncio.sleep(0.02)


async def _both_ways(client: Ends, server: Ends) -> None:
    try:
        await asyncio.gather(_one_way(client[0], server[1]), _one_way(server[0], client[1]))
    finally:
        for _, writer in (client, server):
            writer.transport.abort()


async def _one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS knows no half-closed connection
            writer.close()
