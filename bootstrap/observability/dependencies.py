"""Whether dependencies answer: the checks of `/health/ready`, for Prometheus."""

import asyncio
from collections.abc import Awaitable, Sequence

from prometheus_client.metrics_core import Metric

from bootstrap.observability import readiness as checks
from bootstrap.observability.families import gauge
from bootstrap.observability.readiness import Readiness, State

PATIENCE = 1.5
"""Time limit of a check in seconds; below the one for all metrics."""


class Dependencies:
    """Checks all dependencies at the same time."""

    fresh_for = 5.0

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def read(self) -> Sequence[Metric]:
        """Ask them all."""
        asked = checks.VITAL | checks.USEFUL
        answers = await asyncio.gather(*(_in_time(ask(self._readiness)) for ask in asked.values()))
        replicas = self._readiness.container.database().replicas()
        return [
            gauge(
                "tulou_dependency_up",
                "Whether this process can work with a dependency. A replica: whether reads use it.",
                ["name"],
                [
                    *(([name], answer) for name, answer in zip(asked, answers, strict=True)),
                    *(([f"replica {address}"], in_use) for address, in_use in replicas),
                ],
            )
        ]


async def _in_time(answer: Awaitable[State]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return await answer is State.OK
    except Exception:  # noqa: BLE001  # any error means that it can't be used
        return False
