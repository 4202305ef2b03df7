"""Counts requests and their durations by route, for Prometheus' rate, errors and duration."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from shared.http.middleware.access_log import RequestScope

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds; a last bucket counts the longer ones."""

_CLASSES = ("", "1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass(frozen=True, slots=True)
class RouteTimes:
    """The requests of one route, method and class of status. `counts` has one number for each bucket, and one more."""

    method: str
    route: str
    status: str
    counts: tuple[int, ...]
    seconds: float
    sent_bytes: int


class _Cell:
    __slots__ = ("counts", "seconds", "sent_bytes")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.sent_bytes = 0


class RequestMeter:
    """For one event loop: it locks nothing."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, int], _Cell] = {}

    def note(self, request_scope: RequestScope) -> None:
        """Count a request whose response has ended."""
        key = (request_scope.method, request_scope.route or "", request_scope.status // 100)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell()
        cell.counts[bisect_left(BUCKETS, request_scope.seconds)] += 1
        cell.seconds += request_scope.seconds
        cell.sent_bytes += request_scope.sent_bytes

    def times(self) -> Iterator[RouteTimes]:
        """Yield what was counted since the process began."""
        for (method, route, hundreds), cell in self._cells.items():
            yield RouteTimes(
                method=method,
                route=route,
                status=_CLASSES[hundreds],
                counts=tuple(cell.counts),
                seconds=cell.seconds,
                sent_bytes=cell.sent_bytes,
            )
