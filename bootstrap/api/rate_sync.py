"""Exchange of request counts among API processes through Redis. No request waits for it."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.background import BackgroundLoop
from shared.http.rate_limits import WINDOW, Key, RateLimits
from shared.logging import get_logger
from shared.throttled_warnings import ThrottledWarnings

logger = get_logger(__name__)
RATE_SYNC = BackgroundLoop("rate_sync", expected_errors=(RedisError,))
AT_ONCE = 500
"""Callers in one script, which holds up the server for less than a millisecond."""

_SCRIPT = """
local room = redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2])
local totals = {}
for i = 3, #ARGV, 2 do
    if room or redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 then
        totals[#totals + 1] = redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
    else
        totals[#totals + 1] = 0
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return totals
"""


class RateSync:
    """Adds local counts to one hash in Redis for each window, and reads the totals.

    `callers` bounds the hash. While Redis is down or slow, each process applies the whole limit alone.
    """

    def __init__(self, limits: RateLimits, redis: Redis, *, interval: float, callers: int) -> None:
        self._limits = limits
        self._redis = redis
        self._interval = interval
        self._callers = callers
        self._warnings = ThrottledWarnings(logger)

    def start(self) -> "asyncio.Task[None]":
        """Exchange counts in a task, until it is cancelled."""
        return RATE_SYNC.start(self.sync, pause=self._interval, delay=self._interval)

    async def sync(self) -> None:
        """Exchange them once."""
        window, unsynced = self._limits.take_unsynced()
        waiting = list(unsynced.items())
        try:
            for begin in range(0, len(waiting), AT_ONCE):
                part = dict(waiting[begin : begin + AT_ONCE])
                self._limits.merge_totals(window, await self._increment(window, part))
                for key in part:
                    del unsynced[key]
        except BaseException as error:
            self._limits.restore(window, unsynced)
            if not isinstance(error, RedisError | OSError):
                raise
            self._warnings.warn("rate_limits_are_local", reason=type(error).__name__)
            return
        if waiting:
            self._warnings.resolve("rate_limits_are_local", then="rate_limits_are_shared")

    async def _increment(self, window: int, counts: dict[Key, int]) -> dict[Key, int]:
        """Return the totals of the callers that fit into the hash."""
        arguments: list[str | int] = [2 * WINDOW, self._callers]
        for key, count in counts.items():
            arguments += [key if isinstance(key, str) else f"u{key:x}", count]
        totals = await self._redis.eval(_SCRIPT, 1, f"tulou:rate:{window}", *arguments)
        return {key: total for key, total in zip(counts, totals, strict=True) if total}
