"""Gives the limit of requests the limits of single accounts. No request waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from shared.background import BackgroundLoop
from shared.http.rate_limits import Key, RateLimits

QUESTIONS = BackgroundLoop("account_rates")
PAUSE = 1.0
"""Seconds between two questions; most are answered from memory."""


class PersonalRates:
    """Reads the limits of single people periodically. While that fails, those read last apply."""

    def __init__(self, limits: RateLimits, known: Callable[[], Awaitable[Mapping[Key, int]]]) -> None:
        self._limits = limits
        self._known = known

    def start(self) -> "asyncio.Task[None]":
        """Ask in a task, until it is cancelled."""
        return QUESTIONS.start(self._ask, pause=PAUSE)

    async def _ask(self) -> None:
        self._limits.of_callers = await self._known()
