"""Abort connections whose clients stop reading."""

from typing import Any

from bootstrap.protocol.bounded import BoundedProtocol

LOOKS = 10
"""How often in `write_timeout` each connection is looked at: a client is cut off at most a tenth of it late."""


class Unread:
    """How long a client has taken in nothing of what waits for it. Times in seconds, of any clock."""

    def __init__(self) -> None:
        self._waiting = 0
        self._since = 0.0

    def seconds(self, waiting: int, now: float) -> float:
        """Return for how long nothing was taken in, when `waiting` bytes wait at `now`; 0 if none do."""
        if waiting == 0 or not 0 < self._waiting <= waiting:
            self._since = now
        self._waiting = waiting
        return now - self._since

    def reset(self) -> None:
        """Begin again: something was taken in."""
        self._waiting = 0


class ReadProtocol(BoundedProtocol):
    """Aborts its connection when its client has taken in nothing of what waits for it in `write_timeout` seconds.

    That holds for any number of bytes, and for a connection that is closing: it keeps its descriptor until all is sent.
    """

    def __init__(self, *args: Any, write_timeout: float, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._write_timeout = write_timeout
        self._unread = Unread()

    @property
    def has_unread(self) -> bool:
        """Whether the kernel has not taken all of the answers yet."""
        return self.transport.get_write_buffer_size() > 0

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._unread.reset()
        super().resume_writing()

    def look_at_reader(self, now: float) -> None:
        """Abort the connection if its client has stopped reading. To be called `LOOKS` times in `write_timeout`."""
        waiting = self.transport.get_write_buffer_size()
        if self._unread.seconds(waiting, now) >= self._write_timeout:
            self.transport.abort()
