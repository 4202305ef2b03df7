"""What one API process has besides what its requests share with the domains."""

from dataclasses import dataclass

from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from bootstrap.container import TulouContainer
from bootstrap.observability.exposition import Exposition
from bootstrap.observability.readiness import Readiness
from shared.http.api_state import ApiState
from shared.http.middleware.request_recorder import RequestRecorder
from shared.http.rate_limits import RateLimits


@dataclass(kw_only=True, slots=True)
class ProcessState(ApiState):
    """`rate_limits` is None where requests are not limited."""

    container: TulouContainer
    redis: Redis
    readiness: Readiness
    request_recorder: RequestRecorder
    metrics: Exposition
    rate_limits: RateLimits | None


def process_state(connection: HTTPConnection) -> ProcessState:
    """Return the state of the process that serves a request."""
    state: ProcessState = connection.app.state.api
    return state
