"""Metrics of the process itself: requests, connections, memory, version."""

import platform
from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from bootstrap.observability.families import cumulative, gauge
from shared.background import LOOPS
from shared.db.database import Database
from shared.http.middleware.request_meter import BUCKETS
from shared.http.middleware.request_recorder import RequestRecorder


class ProcessMetrics(Collector):
    """Of this process only: sum over all processes."""

    def __init__(self, *, request_recorder: RequestRecorder, database: Database) -> None:
        self._request_recorder = request_recorder
        self._database = database
        # A registry of its own: by default both collectors register in the global one of prometheus_client.
        own = CollectorRegistry()
        self._system = (ProcessCollector(registry=own), GCCollector(registry=own))

    def collect(self) -> Iterator[Metric]:
        """Yield each metric."""
        yield from self._of_requests()
        yield from self._of_connections()
        yield from self._of_loops()
        for collector in self._system:
            yield from collector.collect()
        labels = {"version": version("tulou"), "python": platform.python_version()}
        yield gauge("tulou_build_info", "What runs here.", list(labels), [(list(labels.values()), 1)])

    def _of_requests(self) -> Iterator[Metric]:
        took = HistogramMetricFamily(
            "tulou_http_request_duration_seconds",
            "Duration of requests, from their first byte to the last byte of the response.",
            labels=["method", "route", "status"],
        )
        sent = CounterMetricFamily(
            "tulou_http_response_bytes", "Bytes of response bodies.", labels=["method", "route", "status"]
        )
        for times in self._request_recorder.times():
            of = [times.method, times.route, times.status]
            took.add_metric(of, cumulative(BUCKETS, times.counts), sum_value=times.seconds)
            sent.add_metric(of, times.sent_bytes)
        yield took
        yield sent
        yield gauge(
            "tulou_http_requests_in_flight",
            "Requests in progress.",
            [],
            [([], self._request_recorder.in_flight)],
        )

    def _of_loops(self) -> Iterator[Metric]:
        begun = [loop for loop in LOOPS.values() if loop.was_started]
        failures = CounterMetricFamily(
            "tulou_background_failures", "Rounds of background loops that failed.", labels=["loop"]
        )
        for loop in begun:
            failures.add_metric([loop.name], loop.failures)
        yield failures
        yield gauge(
            "tulou_background_last_success_timestamp_seconds",
            "Time of the last round of a background loop that ended without an error.",
            ["loop"],
            [([loop.name], loop.last_success) for loop in begun if loop.last_success is not None],
        )

    def _of_connections(self) -> Iterator[Metric]:
        pools = self._database.pools()
        yield gauge(
            "tulou_database_connections",
            "Open connections to PostgreSQL.",
            ["pool", "state"],
            [
                ([usage.pool, state], number)
                for usage in pools
                for state, number in (("idle", usage.idle), ("in_use", usage.in_use))
            ],
        )
        yield gauge(
            "tulou_database_connections_limit",
            "Connections that may be open.",
            ["pool"],
            [([usage.pool], usage.size) for usage in pools],
        )
        yield gauge(
            "tulou_database_connections_awaited",
            "Tasks that wait for a connection.",
            ["pool"],
            [([usage.pool], usage.waiting) for usage in pools],
        )
