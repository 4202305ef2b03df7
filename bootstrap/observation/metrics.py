"""`GET /metrics`: Prometheus' text format. What needs the database is asked for seldom, whoever asks how often."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request

from bootstrap.container import TulouContainer, offers
from bootstrap.observation.families import Source, gauge
from bootstrap.observation.job_metrics import JobMetrics
from bootstrap.observation.process_metrics import ProcessMetrics
from bootstrap.settings import Settings
from shared.errors import AppError
from shared.http.journal import Journal
from shared.http.problems import UnknownPath
from shared.http.routing import Router
from shared.identity import NotAuthenticated
from shared.logging import get_logger
from shared.measures import Measures

logger = get_logger(__name__)
PATIENCE = 3.0
"""Seconds that a source has to answer."""

router = Router(tags=["metrics"])


class DomainMetrics:
    """What a domain offers as `measures`."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self.fresh_for = measures.fresh_for

    async def read(self) -> Sequence[Metric]:
        """Ask the domain."""
        found = await self._measures.measure()
        return [gauge(told.name, told.meaning, told.labels, told.values) for told in found]


class _Kept:
    """What a source has said, and until when it is good."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._fresh_until = 0.0
        self.families: Sequence[Metric] = ()
        self.is_up = False

    async def refresh(self, name: str) -> None:
        if time.monotonic() < self._fresh_until:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                self.families = await self._source.read()
            self.is_up = True
        except (AppError, TimeoutError) as error:
            # No numbers are better than old ones: whoever looks would believe them.
            logger.warning("metrics_unread", source=name, error=type(error).__name__)
            self.families, self.is_up = (), False
        self._fresh_until = time.monotonic() + self._source.fresh_for


class Exposition(Collector):
    """All metrics of a process, and what it can find out about the whole installation."""

    def __init__(self, own: Collector, sources: Mapping[str, Source]) -> None:
        self._own = own
        self._kept = {name: _Kept(source) for name, source in sources.items()}
        self._asking = asyncio.Lock()

    async def text(self) -> bytes:
        """Return the metrics. Where a source can't be read its metrics are missing, and `tulou_metrics_up` says so."""
        async with self._asking:
            for name, kept in self._kept.items():
                await kept.refresh(name)
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; `generate_latest` asks for them."""
        yield from self._own.collect()
        yield gauge(
            "tulou_metrics_up",
            "Whether the numbers of a source could be read.",
            ["source"],
            [([name], kept.is_up) for name, kept in self._kept.items()],
        )
        for kept in self._kept.values():
            yield from kept.families


def exposition(container: TulouContainer, journal: Journal) -> Exposition:
    """Return the metrics of an API process."""
    jobs = JobMetrics(container.jobs.operations(), container.jobs.durations())
    measured = {domain: DomainMetrics(measures) for domain, measures in offers(container, "measures").items()}
    own = ProcessMetrics(journal=journal, database=container.database())
    return Exposition(own, {"jobs": jobs, **measured})


async def _may_read(request: Request) -> None:
    """Let in who has the token; without one nobody in production, everybody elsewhere."""
    settings: Settings = request.app.state.container.settings()
    if settings.metrics_token is None:
        if settings.env == "production":
            raise UnknownPath
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    wanted = settings.metrics_token.get_secret_value()
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.encode(), wanted.encode()):
        raise NotAuthenticated


@router.get("/metrics", include_in_schema=False)
async def read_metrics(request: Request, _allowed: Annotated[None, Depends(_may_read)]) -> Response:
    """Answer in Prometheus' text format."""
    found: Exposition = request.app.state.metrics
    return Response(await found.text(), media_type=CONTENT_TYPE_LATEST)
