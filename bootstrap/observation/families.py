"""From our numbers to Prometheus' families of metrics."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client.metrics_core import GaugeMetricFamily, Metric


class Source(Protocol):
    """Numbers that have to be fetched, and are good for `fresh_for` seconds."""

    @property
    def fresh_for(self) -> float:
        """Seconds for which an answer is good."""
        ...

    async def read(self) -> Sequence[Metric]:
        """Fetch them.

        Raises:
            DatabaseUnavailable: they are in the database.
        """
        ...


def gauge(
    name: str, meaning: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    """Return a family of numbers that go up and down, one for each combination of labels."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family
