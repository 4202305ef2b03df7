"""Limits on the connections of an address and of a process."""

import asyncio
import heapq
import resource
from collections.abc import Callable
from typing import Protocol

from shared.errors import AppError, TooManyRequests, Unavailable
from shared.http.connection_share import exceeds_fair_share
from shared.http.rate_limits import network_of
from shared.logging import get_logger

logger = get_logger(__name__)
RETRY_AFTER = 5.0
BETWEEN_LINES = 60.0
"""Seconds between two lines of the log about connections that were closed or refused."""

_FIRST_LINE = 1.0
_MOST_REFUSING = 16
"""Refused connections that may be answered at a time, each for about a second. Further ones are aborted."""

_OF_THE_PROGRAM = 64
"""Descriptors for everything except connections: logs, the event loop, Redis, libraries, and a margin."""

MANY = 48
"""Connections of an address above which its requests start in turns, so that they don't start all at once."""

_LEAST = 8
_SEARCHED_ADDRESSES = 8
"""How many addresses are searched for an idle connection, those with the most connections first."""


class TooManyConnections(TooManyRequests):
    """The address has reached its limit of connections, and none of them is idle."""

    code = "request.too_many_connections"
    detail = (
        "Your address has too many connections open. Close some, or wait until their requests have ended."
    )


class NoConnectionFree(Unavailable):
    """The process has reached its limit of connections, and none of them is idle."""

    code = "server.no_connection_free"
    detail = "This server has too many connections. Try again after `Retry-After` seconds."


class Connection(Protocol):
    """What `Connections` needs to know of a connection."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered or received on it except, perhaps, a head."""

    @property
    def has_unread(self) -> bool:
        """Whether a part of its answers still waits to be sent."""

    def close_idle(self) -> None:
        """Close it and free its descriptor at once, for another connection."""


class Connections:
    """The open connections of this process by address (of IPv6 the /64). For one event loop: it locks nothing.

    A new connection takes the place of an idle one: of its own address when that has `per_address`, and of the
    address with the most connections when the process has `most` or the address has its fair share. A trusted proxy
    carries many clients' connections, so no per-address limit applies where `is_proxy` is true.
    """

    def __init__(self, *, most: int, per_address: int, is_proxy: Callable[[str], bool]) -> None:
        self._most = most
        self._per_address = per_address
        self._is_proxy = is_proxy
        self._held: dict[str, dict[Connection, None]] = {}
        self._count = 0
        self._proxies: set[str] = set()
        self._closing: set[Connection] = set()
        self._refusing: set[Connection] = set()
        self._closed = self._refused = 0
        self._log_timer: asyncio.TimerHandle | None = None
        self._logged_at = float("-inf")

    def add(self, connection: Connection, address: str) -> AppError | None:
        """Count a new connection; return an error if it can't be accepted."""
        network, is_proxy = network_of(address), self._is_proxy(address)
        error = self._error_for(network, len(self._held.get(network, ())), is_proxy=is_proxy)
        if error is not None:
            return self._refuse(connection, error)
        if is_proxy:
            self._proxies.add(network)
        self._held.setdefault(network, {})[connection] = None
        self._count += 1
        return None

    def remove(self, connection: Connection, address: str) -> None:
        """Stop counting a connection whose descriptor is closed. May be called again."""
        self._refusing.discard(connection)
        self._closing.discard(connection)
        self._remove(connection, network_of(address))

    def are_many(self, address: str) -> bool:
        """Return whether an address that is not a trusted proxy has more than `MANY` connections."""
        return len(self._held.get(network_of(address), ())) > MANY and not self._is_proxy(address)

    def may_respond(self, connection: Connection) -> bool:
        """Return whether a refused connection may stay open until it has its answer."""
        return connection in self._refusing

    def _error_for(self, network: str, own: int, *, is_proxy: bool) -> AppError | None:
        """Make room for one more where a limit is reached; return the error if that fails."""
        free = self._most - self._count
        if own >= self._per_address and not is_proxy:
            if not self._close_idle_of([network]):
                return TooManyConnections(retry_after=RETRY_AFTER, limit=self._per_address)
        elif free <= 0:
            if not self._close_idle_of(self._largest()):
                return NoConnectionFree(retry_after=RETRY_AFTER)
        elif (
            exceeds_fair_share(own, free=free)
            and not is_proxy
            and not self._close_idle_of(self._larger(network))
        ):
            return TooManyConnections(
                f"Your address has {own} connections open, and only {free} are free for all addresses."
                " Close some, or wait until their requests have ended.",
                retry_after=RETRY_AFTER,
                limit=own,
            )
        return None

    def _remove(self, connection: Connection, network: str) -> None:
        own = self._held.get(network, {})
        if connection not in own:
            return
        del own[connection]
        self._count -= 1
        if not own:
            del self._held[network]
            self._proxies.discard(network)

    def _largest(self) -> list[str]:
        return heapq.nlargest(_SEARCHED_ADDRESSES, self._held, key=lambda network: len(self._held[network]))

    def _larger(self, network: str) -> list[str]:
        """Return the addresses, proxies aside, with more connections than this one, which comes last."""
        own = len(self._held[network])
        others = [each for each in self._largest() if len(self._held[each]) > own]
        return [*(each for each in others if each not in self._proxies), network]

    def _close_idle_of(self, networks: list[str]) -> bool:
        """Close an idle connection of the first of these that has one; return whether its place is free."""
        if len(self._closing) >= max(1, self._most // 2):  # their descriptors are still open
            return False
        for network in networks:
            idle = self._idle_of(network)
            if idle is not None:
                self._closed += 1
                self._log_soon()
                self._remove(idle, network)
                # Its place is free at once, although its descriptor is closed in a later iteration of
                # the loop.
                self._closing.add(idle)
                idle.close_idle()
                return True
        return False

    def _idle_of(self, network: str) -> Connection | None:
        """Return the oldest idle connection, if possible one whose answers are all sent."""
        idle = [each for each in self._held[network] if each.is_idle]
        return next((each for each in idle if not each.has_unread), idle[0] if idle else None)

    def _refuse(self, connection: Connection, error: AppError) -> AppError:
        if len(self._refusing) < _MOST_REFUSING:
            self._refusing.add(connection)
        self._refused += 1
        self._log_soon()
        return error

    def _log_soon(self) -> None:
        if self._log_timer is None:
            loop = asyncio.get_running_loop()
            # A second is enough to collect a burst into one line.
            wait = max(_FIRST_LINE, self._logged_at + BETWEEN_LINES - loop.time())
            self._log_timer = loop.call_later(wait, self._log)

    def _log(self) -> None:
        self._log_timer, self._logged_at = None, asyncio.get_running_loop().time()
        most = self._largest()[:1]
        logger.warning(
            "connections_limited",
            held=self._count,
            most=self._most,
            idle_closed=self._closed,
            refused=self._refused,
            address=most[0] if most else None,
            address_connections=len(self._held[most[0]]) if most else 0,
        )
        self._closed = self._refused = 0


def most_connections(requested: int, *, pooled: int) -> int:
    """Return how many connections this process can hold: `requested`, or as many as its descriptors allow.

    Raises the soft limit of descriptors to the hard one. Of the descriptors that `pooled` connections to servers and
    the program leave, half are for clients, because uploads and downloads open files and new connections arrive before
    old ones are closed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return requested
    return max(_LEAST, min(requested, (hard - pooled - _OF_THE_PROGRAM) // 2))
