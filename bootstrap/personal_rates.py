"""Lets the limit of requests know which accounts have one of their own. No request waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from shared.http.rate_limits import Key, RateLimits
from shared.logging import get_logger
from shared.rare_warnings import RareWarnings

logger = get_logger(__name__)
PAUSE = 1.0
"""Seconds between two questions; most are answered from memory."""


class PersonalRates:
    """Asks who has a limit of their own, again and again. While that fails, what was known last holds."""

    def __init__(self, limits: RateLimits, known: Callable[[], Awaitable[Mapping[Key, int]]]) -> None:
        self._limits = limits
        self._known = known
        self._warnings = RareWarnings(logger)

    async def run(self) -> None:
        """Ask until cancelled."""
        task = asyncio.current_task()
        while task is None or not task.cancelling():
            try:
                self._limits.of_callers = await self._known()
            except Exception as error:  # noqa: BLE001  # the next question may be answered
                self._warnings.warn("personal_rates_unknown", reason=type(error).__name__)
            await asyncio.sleep(PAUSE)
