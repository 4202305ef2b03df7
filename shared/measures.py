"""Metrics that a domain exports. `bootstrap` collects them for Prometheus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Measure:
    """A number, or one for each combination of `labels`. Names of states and kinds, never of people or things.

    `is_counter`: it only grows while the process runs, and its name ends with `_total`.
    `bounds`: the upper bounds of a histogram's buckets. Then `values` are sums, and `counts` has for each of them the
    number in each bucket, of which there is one more than bounds.
    """

    name: str
    meaning: str
    values: Sequence[tuple[tuple[str, ...], float]]
    labels: tuple[str, ...] = ()
    is_counter: bool = False
    bounds: tuple[float, ...] = ()
    counts: Sequence[Sequence[int]] = ()


class Measures(Protocol):
    """A domain's export `measures`."""

    @property
    def fresh_for(self) -> float:
        """Seconds for which an answer is good: the longer, the more it costs the database."""
        ...

    async def measure(self) -> Sequence[Measure]:
        """Return the numbers as they are now.

        Raises:
            DatabaseUnavailable: they are in the database.
        """
        ...
