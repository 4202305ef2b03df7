"""Clients that read nothing of an answer are let go."""

import asyncio
from typing import Any

from bootstrap.protocol.bounded import BoundedProtocol


class ReadProtocol(BoundedProtocol):
    """Cuts a connection off whose client has taken in nothing of what waits for it in `write_timeout` seconds."""

    def __init__(self, *args: Any, write_timeout: float, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._write_timeout = write_timeout
        self._stalled: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._unset_stalled()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client reads."""
        self._unset_stalled()
        super().resume_writing()

    def _watch_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self._write_timeout, self._look_at_reader, waiting)

    def _look_at_reader(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._watch_writing()
        else:
            self.transport.abort()

    def _unset_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
