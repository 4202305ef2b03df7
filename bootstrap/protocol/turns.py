"""Fair turns for requests that waited behind others on their connections."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Starts waiting requests: one in each pass of the event loop, whichever connection it came on.

    A connection that always has a next request would otherwise start it in the pass that ended the one before, and
    a hundred such connections would make each pass, and everybody's wait, a hundred requests long.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, start: Callable[[], None]) -> None:
        """Call `start` when it is its turn."""
        self._waiting.append(start)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        start = self._waiting[0]
        try:
            start()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)
