"""Connections to a mail server that are used again: as many as mails are under way, or as the server lets in."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import aiosmtplib

from domains.emails.gateway.transport import ServerUnreachable

BROKEN = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError, TimeoutError)
_FAREWELL_SECONDS = 2.0
_REMEMBERED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection that waits for the next mail; it belongs to the event loop that made it."""

    client: aiosmtplib.SMTP
    loop: asyncio.AbstractEventLoop
    since: float


class Connections:
    """The one that was used last is used next; what isn't used for `idle` seconds is closed.

    A server that lets nobody in while it lets others of ours talk has enough of us: for a minute there are no more
    than those, and who has none waits for one, `patience` seconds at most.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[aiosmtplib.SMTP]], *, idle: float, patience: float
    ) -> None:
        self._connect = connect
        self._idle = idle
        self._patience = patience
        self._kept: list[_Kept] = []
        self._most = math.inf
        self._limited_until = 0.0
        self._changed = asyncio.Event()
        self.taken = 0

    async def take(self) -> aiosmtplib.SMTP:
        """Return a connection that the server answers on. Raises ServerUnreachable."""
        until = time.monotonic() + self._patience
        while True:
            changed = self._changed
            client = await self._reuse()
            if client is not None:
                return client
            try:
                if self._may_connect():
                    return await self._new()
            except ServerUnreachable as unreachable:
                open_now = self.taken + len(self._kept)
                if not (unreachable.answered and open_now) or time.monotonic() > until:
                    raise
                self._most, self._limited_until = open_now, time.monotonic() + _REMEMBERED_SECONDS
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    await changed.wait()
            except TimeoutError:
                self._most = math.inf  # nobody is done: ask the server once more

    def give_back(self, client: aiosmtplib.SMTP, *, usable: bool) -> None:
        """Keep it for the next mail, or close it."""
        if usable and client.is_connected:
            self._kept.append(_Kept(client, asyncio.get_running_loop(), time.monotonic()))
        else:
            client.close()
        self._let_go()

    async def stop(self) -> None:
        """Say QUIT, where there is still somebody to say it to."""
        kept, self._kept = self._kept, []
        for one in kept:
            if one.loop is asyncio.get_running_loop():
                with suppress(aiosmtplib.SMTPException, *BROKEN):
                    await one.client.quit(timeout=_FAREWELL_SECONDS)
                one.client.close()

    def _may_connect(self) -> bool:
        if time.monotonic() > self._limited_until:
            self._most = math.inf
        return self.taken < self._most

    async def _new(self) -> aiosmtplib.SMTP:
        self.taken += 1
        try:
            return await self._connect()
        except BaseException:
            self._let_go()
            raise

    async def _reuse(self) -> aiosmtplib.SMTP | None:
        """Return a kept connection that the server still answers on. RSET also ends a mail that came to nothing."""
        self._close_idle()
        while self._kept:
            client = self._kept.pop().client
            self.taken += 1
            try:
                await client.rset()
            except BaseException as error:
                client.close()
                self._let_go()
                if not isinstance(error, (aiosmtplib.SMTPException, *BROKEN)):
                    raise
            else:
                return client
        return None

    def _close_idle(self) -> None:
        oldest = time.monotonic() - self._idle
        here = [one for one in self._kept if one.loop is asyncio.get_running_loop()]
        self._kept = [one for one in here if one.since > oldest]
        for one in here:
            if one.since <= oldest:
                one.client.close()

    def _let_go(self) -> None:
        self.taken -= 1
        self._changed.set()
        self._changed = asyncio.Event()
