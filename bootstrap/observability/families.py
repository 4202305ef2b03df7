"""Conversion of numbers to Prometheus' metric families."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Protocol

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from shared.measures import Measure

Values = Iterable[tuple[Sequence[str], float]]


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


def gauge(name: str, meaning: str, labels: Sequence[str], values: Values) -> GaugeMetricFamily:
    """Return a family of numbers that go up and down, one for each combination of labels."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def counter(name: str, meaning: str, labels: Sequence[str], values: Values) -> CounterMetricFamily:
    """Return a family of numbers that only grow; Prometheus shows each name with `_total` at its end."""
    family = CounterMetricFamily(name, meaning, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return a histogram's buckets as Prometheus wants them: each with all that took less."""
    return list(zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True))


def family_of(measure: Measure) -> Metric:
    """Return a domain's measure as a family."""
    if not measure.bounds:
        family = counter if measure.is_counter else gauge
        return family(measure.name, measure.meaning, measure.labels, measure.values)
    histogram = HistogramMetricFamily(measure.name, measure.meaning, labels=measure.labels)
    for (labels, total), counts in zip(measure.values, measure.counts, strict=True):
        histogram.add_metric(labels, cumulative(measure.bounds, counts), sum_value=total)
    return histogram
