"""The client of the faults: hands in work over HTTP, and writes down every 2xx as accepted."""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self
from uuid import UUID

import httpx

from tools.faults.harness import System

MOST_OPEN = 64


class Client:
    """Knows what was promised to it. `waits` are the seconds of each answered POST."""

    def __init__(self, system: System) -> None:
        self.accepted: list[UUID] = []
        self.waits: list[float] = []
        self.answers: Counter[int] = Counter()
        self.interrupted = 0
        self.replayed = 0
        self.faulty: list[str] = []
        self._slots = asyncio.Semaphore(MOST_OPEN)
        self.http = httpx.AsyncClient(
            base_url=system.url,
            timeout=30,
            limits=httpx.Limits(max_connections=MOST_OPEN, max_keepalive_connections=MOST_OPEN),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def post(
        self, path: str = "/v1/faults/jobs", *, idempotency_key: str | None = None, **order: Any
    ) -> UUID | None:
        """Hand in one piece of work; None: it was refused, or the outcome is unknown."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        async with self._slots:
            started = time.monotonic()
            try:
                answer = await self.http.post(path, json=order, headers=headers)
            except httpx.TransportError:
                self.interrupted += 1
                return None
        self.waits.append(time.monotonic() - started)
        self.answers[answer.status_code] += 1
        self.replayed += "Idempotency-Replayed" in answer.headers
        if answer.status_code == httpx.codes.ACCEPTED:
            job_id = UUID(answer.json()["id"])
            self.accepted.append(job_id)
            return job_id
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or "Retry-After" not in answer.headers:
            self.faulty.append(f"{answer.status_code}: {answer.text[:200]}")
        return None

    async def load(
        self, count: int, *, per_second: float, order: Callable[[int], dict[str, Any]] = lambda _number: {}
    ) -> None:
        """Hand in work at an even pace, whether or not answers come."""
        begun = time.monotonic()
        posts = []
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number / per_second - time.monotonic()))
            posts.append(asyncio.create_task(self.post(**order(number))))
        await asyncio.gather(*posts)

    def slowest(self, *, since: int = 0) -> float:
        """Return the 99th percentile of the waits, in seconds, from a position in `waits` on."""
        return percentile(self.waits[since:], 99)


def percentile(values: list[float], share: int) -> float:
    """Return a percentile; 0 of nothing."""
    if len(values) < 2:
        return max(values, default=0.0)
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]
