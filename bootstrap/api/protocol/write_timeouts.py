"""Abort connections whose clients stop reading."""

from typing import Any

from bootstrap.api.protocol.pipelining import BoundedProtocol

CHECKS_PER_TIMEOUT = 10
"""How often each connection is checked in `write_timeout`: an abort is at most a tenth of it late."""


class StallTimer:
    """Measures for how long a client has read nothing while bytes wait for it. Times in seconds, of any clock."""

    def __init__(self) -> None:
        self._waiting = 0
        self._since = 0.0

    def seconds(self, waiting: int, now: float) -> float:
        """Return for how many seconds nothing was read, given that `waiting` bytes wait at `now`; 0 if none wait."""
        if waiting == 0 or not 0 < self._waiting <= waiting:
            self._since = now
        self._waiting = waiting
        return now - self._since

    def reset(self) -> None:
        """Start again, because something was read."""
        self._waiting = 0


class WriteTimeoutProtocol(BoundedProtocol):
    """Aborts its connection when bytes wait to be sent and the client reads none of them in `write_timeout` seconds.

    Any number of bytes counts, also on a closing connection, which keeps its descriptor until all bytes are sent.
    """

    def __init__(self, *args: Any, write_timeout: float, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._write_timeout = write_timeout
        self._unread = StallTimer()

    @property
    def has_unread(self) -> bool:
        """Whether bytes of the answers wait in this process because the kernel has not accepted them."""
        return self.transport.get_write_buffer_size() > 0

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._unread.reset()
        super().resume_writing()

    def check_write_timeout(self, now: float) -> None:
        """Abort the connection if its client has stopped reading. Call it `CHECKS_PER_TIMEOUT` times per timeout."""
        waiting = self.transport.get_write_buffer_size()
        if self._unread.seconds(waiting, now) >= self._write_timeout:
            self.transport.abort()
