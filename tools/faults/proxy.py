"""A TCP proxy between a program and a server, that breaks connections at a chosen moment."""

import asyncio
import contextlib
from collections.abc import Callable
from enum import Enum
from urllib.parse import urlsplit, urlunsplit

CHUNK = 1 << 16


class Cut(Enum):
    """When a connection breaks, seen from what the program sends."""

    NEVER = "never"
    BEFORE = "before"
    """The server never gets it."""
    AFTER = "after"
    """The server gets it and answers, and the program never sees the answer."""


Rule = Callable[[bytes], Cut]


class Proxy:
    """Listens on a free port of 127.0.0.1 and forwards to one server."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.rule: Rule = lambda _chunk: Cut.NEVER
        self.cuts = {Cut.BEFORE: 0, Cut.AFTER: 0}

    @property
    def url(self) -> str:
        """The server's URL, by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        login = self._url.netloc.rpartition("@")[0]
        return urlunsplit(self._url._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Stop listening; connections that stand break."""
        if self._server is not None:
            self._server.close()
            for connection in self._open:
                connection.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream = await asyncio.open_connection(self._url.hostname, self._url.port)
        except OSError:
            writer.transport.abort()
            return
        connection = asyncio.create_task(_Connection(self, (reader, writer), upstream).run())
        self._open.add(connection)
        connection.add_done_callback(self._open.discard)


class _Connection:
    """One connection, two directions. Both end together."""

    def __init__(
        self,
        proxy: Proxy,
        program: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._program = program
        self._server = server
        self._swallows = False

    async def run(self) -> None:
        directions = [asyncio.create_task(self._up()), asyncio.create_task(self._down())]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for _, writer in (self._program, self._server):
                writer.transport.abort()

    async def _up(self) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await self._program[0].read(CHUNK):
                cut = self._proxy.rule(chunk)
                if cut is not Cut.NEVER:
                    self._proxy.cuts[cut] += 1
                if cut is Cut.BEFORE:
                    return
                self._swallows = self._swallows or cut is Cut.AFTER
                self._server[1].write(chunk)
                await self._server[1].drain()

    async def _down(self) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await self._server[0].read(CHUNK):
                if self._swallows:
                    return
                self._program[1].write(chunk)
                await self._program[1].drain()
