"""Samples of metrics as Prometheus keeps them: each with the time at which it was scraped."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]
Vector = dict[Labels, float]
"""Values by labels, without the name of the metric."""

Matches = Callable[[Mapping[str, str]], bool]


@dataclass
class Samples:
    """Scrapes, oldest first, times in seconds. A series is gone when the last scrape of its target lacks it."""

    times: list[float] = field(default_factory=list)
    scrapes: list[dict[Series, float]] = field(default_factory=list)

    def add(self, at: float, found: dict[Series, float]) -> None:
        """Keep what all targets said at a moment."""
        self.times.append(at)
        self.scrapes.append(found)

    @property
    def now(self) -> float:
        """The time of the last scrape."""
        return self.times[-1]

    def instant(self, name: str, matches: Matches) -> Vector:
        """Return the latest values of a metric."""
        found = self.scrapes[-1] if self.scrapes else {}
        return {
            labels: value
            for (other, labels), value in found.items()
            if other == name and matches(dict(labels))
        }

    def range(self, name: str, matches: Matches, seconds: float) -> dict[Labels, list[tuple[float, float]]]:
        """Return the points of each series of a metric within the last seconds."""
        points: dict[Labels, list[tuple[float, float]]] = {}
        for at, found in zip(self.times, self.scrapes, strict=True):
            if at >= self.now - seconds:
                for (other, labels), value in found.items():
                    if other == name and matches(dict(labels)):
                        points.setdefault(labels, []).append((at, value))
        return points


def scraped(text: str | None, **target: str) -> dict[Series, float]:
    """Return what Prometheus keeps of a target's answer, and `up`. None: the target did not answer."""
    own = frozenset(target.items())
    found: dict[Series, float] = {("up", own): float(text is not None)}
    for family in text_string_to_metric_families(text or ""):
        for sample in family.samples:
            found[sample.name, own | frozenset(sample.labels.items())] = sample.value
    return found


def at_once(answers: Iterable[dict[Series, float]]) -> dict[Series, float]:
    """Return what several targets said together."""
    return {series: value for answer in answers for series, value in answer.items()}
