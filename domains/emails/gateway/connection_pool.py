"""A pool of SMTP connections: one for each mail in delivery, or as many as the server allows."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import aiosmtplib

from domains.emails.gateway.transport import ServerUnreachable

BROKEN = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError, TimeoutError)
_QUIT_SECONDS = 2.0
_REMEMBERED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _IdleConnection:
    """An idle connection. Only the event loop that made it can use it."""

    client: aiosmtplib.SMTP
    loop: asyncio.AbstractEventLoop
    since: float


class SmtpConnectionPool:
    """Reuses the most recently used connection, and closes those that were idle for `idle` seconds.

    A server that refuses a connection while others are open has reached its limit. For a minute the pool then opens no
    more than are open, and `acquire` waits for a release, `timeout` seconds at most.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[aiosmtplib.SMTP]], *, idle: float, timeout: float
    ) -> None:
        self._connect = connect
        self._idle_seconds = idle
        self._timeout = timeout
        self._idle_connections: list[_IdleConnection] = []
        self._most = math.inf
        self._limited_until = 0.0
        self._changed = asyncio.Event()
        self.in_use = 0

    async def acquire(self) -> aiosmtplib.SMTP:
        """Return a working connection. Raises ServerUnreachable."""
        until = time.monotonic() + self._timeout
        while True:
            # Taken before looking for a connection, so that a release in between is not missed.
            changed = self._changed
            client = await self._reuse()
            if client is not None:
                return client
            try:
                if self._may_connect():
                    return await self._new()
            except ServerUnreachable as unreachable:
                open_now = self.in_use + len(self._idle_connections)
                if not (unreachable.answered and open_now) or time.monotonic() > until:
                    raise
                # The server refused one more connection: as many as are open is its limit for now.
                self._most, self._limited_until = open_now, time.monotonic() + _REMEMBERED_SECONDS
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    await changed.wait()
            except TimeoutError:
                self._most = math.inf  # none was released: try to connect once more

    def release(self, client: aiosmtplib.SMTP, *, usable: bool) -> None:
        """Return a connection to the pool, or close it if it is not `usable`."""
        if usable and client.is_connected:
            self._idle_connections.append(
                _IdleConnection(client, asyncio.get_running_loop(), time.monotonic())
            )
        else:
            client.close()
        self._count_released()

    async def stop(self) -> None:
        """Send QUIT on idle connections and close them."""
        kept, self._idle_connections = self._idle_connections, []
        for one in kept:
            if one.loop is asyncio.get_running_loop():
                with suppress(aiosmtplib.SMTPException, *BROKEN):
                    await one.client.quit(timeout=_QUIT_SECONDS)
                one.client.close()

    def _may_connect(self) -> bool:
        if time.monotonic() > self._limited_until:
            self._most = math.inf
        return self.in_use < self._most

    async def _new(self) -> aiosmtplib.SMTP:
        self.in_use += 1
        try:
            return await self._connect()
        except BaseException:
            self._count_released()
            raise

    async def _reuse(self) -> aiosmtplib.SMTP | None:
        """Return an idle connection on which the server answers. RSET also ends a mail that was refused."""
        self._close_idle()
        while self._idle_connections:
            client = self._idle_connections.pop().client
            self.in_use += 1
            try:
                # Finds out whether the server has closed the idle connection, before a mail depends
                # on it.
                await client.rset()
            except BaseException as error:
                client.close()
                self._count_released()
                if not isinstance(error, (aiosmtplib.SMTPException, *BROKEN)):
                    raise
            else:
                return client
        return None

    def _close_idle(self) -> None:
        oldest = time.monotonic() - self._idle_seconds
        here = [one for one in self._idle_connections if one.loop is asyncio.get_running_loop()]
        self._idle_connections = [one for one in here if one.since > oldest]
        for one in here:
            if one.since <= oldest:
                one.client.close()

    def _count_released(self) -> None:
        self.in_use -= 1
        self._changed.set()
        self._changed = asyncio.Event()
