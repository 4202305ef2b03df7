"""How many requests a caller may send in a minute: counted here, compared with the other processes in passing."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from shared.errors import Quota, TooManyRequests

WINDOW = 60

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])
_COST = "__rate_limit_cost__"
_ADDRESSES_REMEMBERED = 4096
_LONGEST_ADDRESS = 64

Key = str | int
"""The caller that is counted: an address or network, or the id of an account as a number."""


class RateLimited(TooManyRequests):
    """The account or the address has sent as many requests as allowed in a minute."""

    code = "request.rate_limited"
    detail = "You sent too many requests. Wait `Retry-After` seconds."


def costs(requests: int) -> Callable[[EndpointT], EndpointT]:
    """Mark an endpoint one call of which counts as so many requests."""

    def mark(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, _COST, requests)
        return endpoint

    return mark


def cost_of(endpoint: Callable[..., Any]) -> int:
    """Return the cost that an endpoint was marked with; 1 without a mark."""
    return getattr(endpoint, _COST, 1)


@lru_cache(_ADDRESSES_REMEMBERED)
def network_of(address: str) -> str:
    """Return the address that is counted: of IPv6 the /64, because one client can use all addresses of it."""
    if ":" not in address:
        return address[:_LONGEST_ADDRESS]
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address[:_LONGEST_ADDRESS]
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False))


class RateLimits:
    """Counts requests in windows of a minute that begin with the clock's, so that all processes mean the same one.

    It never waits: `take` looks at memory alone. `take_unsynced` and `merge_totals` let another class share counts
    with the other processes. Without it, this process applies the whole limit alone. At most `callers` are remembered;
    the least recent one is dropped first. `of_callers` has the quotas of callers with a limit other than `quota`.
    """

    POLICY: ClassVar[str] = "default"

    def __init__(self, quota: int, *, callers: int, now: Callable[[], float] = time.time) -> None:
        self.quota = quota
        self._callers = callers
        self._now = now
        self.of_callers: Mapping[Key, int] = {}
        self._policy = self._policy_of(quota)
        self._window = -1
        self._ends = 0.0
        self._used: OrderedDict[Key, int] = OrderedDict()
        self._unsynced: dict[Key, int] = {}

    def take(self, key: Key, cost: int = 1) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Count a request, and return the header fields with the state of its limit.

        Raises:
            RateLimited: the quota is used up; what is refused isn't counted.
        """
        now = self._now()
        # The second condition holds after the clock was set back.
        if now >= self._ends or now < self._ends - WINDOW:
            self._begin(now)
        used = self._used.get(key, 0) + cost
        quota = self.of_callers.get(key, self.quota) if self.of_callers else self.quota
        if used > quota:
            if key in self._used:
                self._used.move_to_end(key)
            seconds = math.ceil(self._ends - now)
            raise RateLimited(retry_after=seconds, quota=Quota(self.POLICY, quota, WINDOW))
        self._used[key] = used
        self._used.move_to_end(key)
        self._unsynced[key] = self._unsynced.get(key, 0) + cost
        if len(self._used) > self._callers:
            self._forget()
        return self._policy if quota == self.quota else self._policy_of(quota), (
            b"ratelimit",
            b'"default";r=%d;t=%d' % (quota - used, math.ceil(self._ends - now)),
        )

    def take_unsynced(self) -> tuple[int, dict[Key, int]]:
        """Return the window's number and what each caller has used since the last time, and mark it as sent."""
        unsynced, self._unsynced = self._unsynced, {}
        return self._window, unsynced

    def restore(self, window: int, unsynced: Mapping[Key, int]) -> None:
        """Restore counts that could not be sent."""
        if window != self._window:
            return
        for key, count in unsynced.items():
            if key in self._used:
                self._unsynced[key] = self._unsynced.get(key, 0) + count

    def merge_totals(self, window: int, totals: Mapping[Key, int]) -> None:
        """Take in what callers have used at all processes together."""
        if window != self._window:
            return
        for key, total in totals.items():
            if key in self._used:
                self._used[key] = total + self._unsynced.get(key, 0)

    def _policy_of(self, quota: int) -> tuple[bytes, bytes]:
        return b"ratelimit-policy", b'"%b";q=%d;w=%d' % (self.POLICY.encode(), quota, WINDOW)

    def _begin(self, now: float) -> None:
        self._window = int(now // WINDOW)
        self._ends = (self._window + 1) * float(WINDOW)
        self._used = OrderedDict()
        self._unsynced = {}

    def _forget(self) -> None:
        key, _ = self._used.popitem(last=False)
        self._unsynced.pop(key, None)
