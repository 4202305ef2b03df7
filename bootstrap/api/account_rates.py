"""Loads the request limits of single accounts in the background. No request waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from shared.background import BackgroundLoop
from shared.http.rate_limits import Key, RateLimits

QUESTIONS = BackgroundLoop("account_rates")
PAUSE = 1.0
"""Seconds between two polls; most need no query."""


class PersonalRates:
    """Reads the limits of single accounts periodically. While that fails, the last ones apply."""

    def __init__(self, limits: RateLimits, known: Callable[[], Awaitable[Mapping[Key, int]]]) -> None:
        self._limits = limits
        self._known = known

    def start(self) -> "asyncio.Task[None]":
        """Poll in a task until it is cancelled."""
        return QUESTIONS.start(self._ask, pause=PAUSE)

    async def _ask(self) -> None:
        self._limits.of_callers = await self._known()
