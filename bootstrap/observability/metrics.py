"""`GET /metrics`: Prometheus' text format. Values from servers are cached, however often it is scraped."""

import secrets
from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from starlette.requests import Request

from bootstrap.container import exports
from bootstrap.observability.dependencies import Dependencies
from bootstrap.observability.disks import Disks, folders_of
from bootstrap.observability.exposition import Exposition
from bootstrap.observability.families import Source, family_of
from bootstrap.observability.postgres_metrics import PostgresMetrics
from bootstrap.observability.process_metrics import ProcessMetrics
from bootstrap.observability.process_state import process_state
from bootstrap.observability.readiness import Readiness
from shared.http.middleware.request_recorder import RequestRecorder
from shared.http.problems import UnknownPath
from shared.http.routing import Router
from shared.identity import NotAuthenticated
from shared.measures import Measures

router = Router(tags=["metrics"])


class DomainMetrics:
    """A domain's export `measures`."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self.fresh_for = measures.fresh_for

    async def read(self) -> Sequence[Metric]:
        """Ask the domain."""
        return [family_of(measure) for measure in await self._measures.measure()]


def exposition(readiness: Readiness, request_recorder: RequestRecorder) -> Exposition:
    """Return the metrics of an API process."""
    container = readiness.container
    sources: dict[str, Source] = {
        "dependencies": Dependencies(readiness),
        "postgres": PostgresMetrics(container.database(), container.clock()),
        "disks": Disks(folders_of(container.settings())),
    }
    for domain, measures in exports(container, "measures").items():
        sources[domain] = DomainMetrics(measures)
    return Exposition(
        ProcessMetrics(request_recorder=request_recorder, database=container.database()), sources
    )


async def _may_read(request: Request) -> None:
    """Check the metrics token. If none is set, refuse all requests in production and allow all elsewhere."""
    settings = process_state(request).container.settings()
    if settings.metrics_token is None:
        if settings.env == "production":
            raise UnknownPath
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    expected = settings.metrics_token.get_secret_value()
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip(" ").encode(), expected.encode()):
        raise NotAuthenticated


@router.get("/metrics", include_in_schema=False)
async def read_metrics(request: Request, _allowed: Annotated[None, Depends(_may_read)]) -> Response:
    """Return all metrics in Prometheus' text format."""
    found = process_state(request).metrics
    return Response(await found.text(), media_type=CONTENT_TYPE_LATEST)
