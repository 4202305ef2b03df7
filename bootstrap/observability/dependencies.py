"""Whether dependencies answer: the checks of `/health/ready`, for Prometheus."""

import asyncio
from collections.abc import Awaitable, Sequence

from fastapi import FastAPI
from prometheus_client.metrics_core import Metric
from starlette.requests import Request

from bootstrap.observability import health
from bootstrap.observability.families import gauge

PATIENCE = 1.5
"""Time limit of a check in seconds; below the one for all metrics."""


class Dependencies:
    """Checks all dependencies at the same time."""

    fresh_for = 5.0

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def read(self) -> Sequence[Metric]:
        """Ask them all."""
        request = Request({"type": "http", "app": self._app})
        asked = {**health.VITAL, **health.USEFUL}
        answers = await asyncio.gather(*(_in_time(ask(request)) for ask in asked.values()))
        replicas = self._app.state.container.database().replicas()
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


async def _in_time(answer: Awaitable[health.State]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return await answer is health.State.OK
    except Exception:  # noqa: BLE001  # any error means that it can't be used
        return False
