"""Fair scheduling of pipelined requests."""

import asyncio
from collections import deque
from collections.abc import Callable


class RequestScheduler:
    """Starts one waiting request in each iteration of the event loop, in the order in which they began to wait.

    Otherwise a connection that always has a next request would start it in the iteration that ended the one before,
    and a hundred such connections would make each iteration, and every other request, a hundred requests longer.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def schedule(self, start: Callable[[], None]) -> None:
        """Call `start` after the requests that wait already."""
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
