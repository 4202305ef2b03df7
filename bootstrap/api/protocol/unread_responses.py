"""Limits on the bytes of answers that clients have asked for and do not read."""

from collections.abc import Callable
from typing import Protocol

from shared.http.rate_limits import network_of
from shared.logging import get_logger
from shared.throttled_warnings import ThrottledWarnings

logger = get_logger(__name__)


class SlowClient(Protocol):
    """What `UnreadResponses` needs to know of a connection."""

    def abort(self) -> None:
        """Close it at once; what waits to be sent is discarded."""


class UnreadResponses:
    """The answers that wait in this process because clients read slowly, by address (of IPv6 the /64).

    When those of an address come to more than `per_address` bytes, or all to more than `most`, the connection that
    has waited longest is closed: of that address, or of the address with the most bytes. A connection that is the
    only one of its address to wait stays. A trusted proxy carries many clients' answers, so no per-address limit
    applies where `is_proxy` is true. For one event loop: it locks nothing.
    """

    def __init__(self, *, most: int, per_address: int, is_proxy: Callable[[str], bool]) -> None:
        self._most = most
        self._per_address = per_address
        self._is_proxy = is_proxy
        self._sizes: dict[str, dict[SlowClient, int]] = {}
        self._totals: dict[str, int] = {}
        self._total = 0
        self._warnings = ThrottledWarnings(logger)

    def add(self, client: SlowClient, address: str, size: int) -> None:
        """Count `size` bytes that wait for a client, and close connections where that is too much."""
        network = network_of(address)
        # Counted anew and at the end: a client that reads a little is not the one that has waited longest.
        self._remove(client, network)
        self._sizes.setdefault(network, {})[client] = size
        self._totals[network] = self._totals.get(network, 0) + size
        self._total += size
        if not self._is_proxy(address):
            self._limit(network, lambda: self._totals[network] > self._per_address)
        while self._total > self._most:
            largest = max(self._totals, key=self._totals.__getitem__)
            if not self._limit(largest, lambda: self._total > self._most):
                return

    def remove(self, client: SlowClient, address: str) -> None:
        """Stop counting a connection, because its client has read or it is closed. May be called again."""
        self._remove(client, network_of(address))

    def _limit(self, network: str, is_too_much: Callable[[], bool]) -> bool:
        """Close connections of an address, the one that has waited longest first; return whether any was closed."""
        closed = False
        # A single large download may exceed the limit, as long as its client reads.
        while len(self._sizes[network]) > 1 and is_too_much():
            slowest = next(iter(self._sizes[network]))
            self._warnings.warn(
                "unread_responses_limited", address=network, waiting=self._totals[network], of_all=self._total
            )
            self._remove(slowest, network)
            slowest.abort()
            closed = True
        return closed

    def _remove(self, client: SlowClient, network: str) -> None:
        own = self._sizes.get(network, {})
        size = own.pop(client, None)
        if size is None:
            return
        self._total -= size
        self._totals[network] -= size
        if not own:
            del self._sizes[network], self._totals[network]
