"""The API: the composed domains' routes behind a few plain ASGI layers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from redis.asyncio import Redis
from starlette.types import Scope

from bootstrap.api.account_rates import PersonalRates
from bootstrap.api.openapi.pages import install_documentation
from bootstrap.api.proxies import trust_proxy_headers
from bootstrap.api.rate_sync import RateSync
from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer, domains_of, exports, purpose_of, served_domains
from bootstrap.observability import health, metrics
from bootstrap.observability.process_state import ProcessState
from bootstrap.observability.processes import check_observation, observed
from bootstrap.observability.readiness import Readiness
from bootstrap.settings.model import Settings
from domains.modes.service import ModeService
from shared.background import end
from shared.errors import AppError
from shared.http import catalogue
from shared.http.authentication import read_access_token
from shared.http.compression import Compression
from shared.http.concurrency import Concurrency, allowances
from shared.http.middleware.access_log import AccessLog
from shared.http.middleware.cross_origin import CrossOrigin
from shared.http.middleware.edge import EdgeMiddleware
from shared.http.middleware.hosts import Hosts
from shared.http.middleware.request_guard import RequestGuard, Rules
from shared.http.middleware.request_recorder import RequestRecorder
from shared.http.middleware.security_headers import security_headers
from shared.http.problems import ProblemWriter
from shared.http.rate_limits import Key, RateLimits, cost_of
from shared.http.route_table import RouteTable
from shared.http.routing import does_stream_body
from shared.logging import get_logger
from shared.revocation import RevocationWatcher

logger = get_logger(__name__)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""RFC 9110, section 9.2.1. TRACE is not served."""
_CLOSING = 2.0
"""Time limit in seconds for closing connections when the process ends."""

TAGS = [
    {"name": "health", "description": "Liveness and readiness."},
    {"name": "errors", "description": "What each error code means."},
]


def create_api(settings: Settings, container: TulouContainer | None = None) -> FastAPI:
    """Return the application. Its connection pools open when it starts and close when it stops."""
    check_observation(settings)
    container = container or compose(settings, "api")
    app = FastAPI(
        title="Tulou",
        version=version("tulou"),
        openapi_tags=_tags(container),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        swagger_ui_oauth2_redirect_url=None,
    )
    # Built once: endpoints and middleware read these from the application for each request.
    state = _state_of(settings, container)
    app.state.api = state
    writer = ProblemWriter(public_url=settings.public_url, methods_at=_methods_at(container))
    writer.install(app)
    for router in routers_of(container):
        app.include_router(router)
    install_documentation(app, public_url=settings.public_url, is_served=settings.serves_docs)
    # First, so that one lookup finds the route of most requests; FastAPI's own routes handle the rest.
    app.router.routes.insert(0, RouteTable(routes_of(container)))
    app.add_middleware(
        EdgeMiddleware,
        guard=RequestGuard(
            _rules(settings, container, limits=state.rate_limits, concurrency=state.concurrency)
        ),
        problems=writer,
        request_recorder=state.request_recorder,
        headers=security_headers(public_url=settings.public_url, hsts_seconds=settings.hsts_seconds),
        cross_origin=CrossOrigin(settings.cors_origins, settings.cors_headers),
    )
    if settings.trusted_proxies:
        # Added last, so it runs first: limits and logs see the client's address, not the proxy's.
        app.add_middleware(trust_proxy_headers, trusted=settings.trusted_proxies)
    return app


def _state_of(settings: Settings, container: TulouContainer) -> ProcessState:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    # Short timeouts, because nothing that a client waits for needs Redis.
    redis = Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)
    readiness = Readiness(container, redis)
    request_recorder = RequestRecorder(AccessLog(settings.logs_as))
    authenticator = container.auth.authenticator()
    is_limited = settings.rate_limit > 0
    return ProcessState(
        container=container,
        authenticator=authenticator,
        revocation_watcher=RevocationWatcher(authenticator),
        stored_responses=container.idempotency.service(),
        request_transaction=container.database().request_transaction,
        compression=Compression(min_bytes=settings.compression_min_bytes),
        concurrency=Concurrency(allowances(settings)),
        redis=redis,
        readiness=readiness,
        request_recorder=request_recorder,
        metrics=metrics.exposition(readiness, request_recorder),
        rate_limits=RateLimits(settings.rate_limit, callers=settings.rate_limit_callers)
        if is_limited
        else None,
    )


def _tags(container: TulouContainer) -> list[dict[str, str]]:
    """Return the OpenAPI tags, spelled as in paths. A domain's container describes it in its first line.

    The highest domain comes first: a client begins with an account.
    """
    parts = domains_of(container)
    with_routes = [name for name in served_domains(container) if "routers" in parts[name].providers]
    described = [(name.replace("_", "-"), purpose_of(parts[name])) for name in reversed(with_routes)]
    return [*({"name": name, "description": purpose} for name, purpose in described), *TAGS]


def routers_of(container: TulouContainer) -> list[APIRouter]:
    """Return the routers of the domains that this process serves, and the routers outside domains."""
    served, exported_by = served_domains(container), exports(container, "routers")
    exported = [router for name in served for router in exported_by.get(name, [])]
    return [health.router, metrics.router, catalogue.router, *exported]


def routes_of(container: TulouContainer) -> list[APIRoute]:
    """Return every route. `app.routes` does not list them, because FastAPI includes a router at its first request."""
    routes = [route for router in routers_of(container) for route in router.routes]
    return [route for route in routes if isinstance(route, APIRoute)]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: ProcessState = app.state.api
    settings = state.container.settings()
    await start(state.container)
    observation = ExitStack()
    try:
        observation.enter_context(observed(settings, "api"))
        async with _sync_rates(state, settings), state.container.modes.service().refreshing():
            yield
    finally:
        state.request_recorder.flush()
        await state.revocation_watcher.stop()
        # Concurrently, because each may have to wait for a server that does not respond.
        await asyncio.gather(_close(state), _end(observation))


async def _end(observation: ExitStack) -> None:
    """Send the last spans and reports, or drop them. A daemon thread sends them, so the process can end."""
    sending = threading.Thread(target=observation.close, daemon=True)
    # The exporters have no time limit of their own that covers a collector which accepts connections and then
    # hangs.
    sending.start()
    await asyncio.to_thread(sending.join, _CLOSING)


async def _close(state: ProcessState) -> None:
    """Close the connections to servers. What is still open after the time limit is closed with the process."""
    try:
        async with asyncio.timeout(_CLOSING):
            await stop(state.container)
            await state.redis.aclose()
    except TimeoutError:
        logger.warning("connections_left_open")


@asynccontextmanager
async def _sync_rates(state: ProcessState, settings: Settings) -> AsyncIterator[None]:
    """Meanwhile exchange request counts with other processes, and read the limits of single accounts."""
    if state.rate_limits is None:
        yield
        return
    rate_sync = RateSync(
        state.rate_limits,
        state.redis,
        interval=settings.rate_limit_settle,
        callers=settings.rate_limit_callers,
    )
    rates = PersonalRates(state.rate_limits, state.container.auth.allowance_cache().requests)
    tasks = [rate_sync.start(), rates.start()]
    try:
        yield
    finally:
        await end(*tasks)


def _methods_at(container: TulouContainer) -> Callable[[str], set[str]]:
    """Return what tells a path's methods: several routers may share a path, and each knows only its own."""
    routes = routes_of(container)
    known = [(route.path_regex, route.methods or set()) for route in routes]
    plain: dict[str, set[str]] = {}
    for route in routes:
        if "{" not in route.path:
            plain.setdefault(route.path, set()).update(route.methods or ())

    def methods_at(path: str) -> set[str]:
        found = plain.get(path) or {
            method for pattern, methods in known if pattern.match(path) for method in methods
        }
        # The edge middleware answers HEAD for every GET.
        return found | {"HEAD"} if "GET" in found else found

    return methods_at


def _rules(
    settings: Settings, container: TulouContainer, *, limits: RateLimits | None, concurrency: Concurrency
) -> Rules:
    routes = routes_of(container)
    return Rules(
        max_body=settings.max_body_bytes,
        hosts=Hosts(_names(settings), own=(_public_name(settings),)),
        limits=limits,
        concurrency=concurrency,
        streams=_leads_to([route for route in routes if does_stream_body(route.endpoint)]),
        cost=_costs([route for route in routes if cost_of(route.endpoint) != 1]),
        has_head=_leads_to([route for route in routes if "HEAD" in (route.methods or ())]),
        identify=_account_of(container),
        refuse=_refusing(container.modes.service()),
    )


def _refusing(modes: ModeService) -> Callable[[Scope], None]:
    """Return a function that raises for requests that the mode forbids."""

    def refuse(scope: Scope) -> None:
        if not modes.is_normal:
            modes.refuse(is_safe=scope["method"] in SAFE_METHODS)

    return refuse


def _names(settings: Settings) -> tuple[str, ...]:
    """Return the accepted host names; empty means any."""
    # A development machine is reached by many names: localhost, its address, a tunnel.
    if settings.trusted_hosts or settings.env != "production":
        return settings.trusted_hosts
    return (_public_name(settings),)


def _public_name(settings: Settings) -> str:
    name = urlsplit(settings.public_url).hostname or ""
    # `hostname` drops the brackets of an IPv6 address, a Host header has them.
    return f"[{name}]" if ":" in name else name


def _leads_to(routes: list[APIRoute]) -> Callable[[Scope], bool]:
    """Return the test whether a request goes to one of the routes."""
    known = [(route.path_regex, route.methods or set()) for route in routes]

    def leads(scope: Scope) -> bool:
        return any(scope["method"] in methods and pattern.match(scope["path"]) for pattern, methods in known)

    return leads


def _costs(routes: list[APIRoute]) -> Callable[[Scope], int]:
    """Return a function that returns the weight of a request in the rate limit."""
    known = [(_leads_to([route]), cost_of(route.endpoint)) for route in routes]

    def cost(scope: Scope) -> int:
        return next((price for leads, price in known if leads(scope)), 1)

    return cost


def _account_of(container: TulouContainer) -> Callable[[Scope], Key | None]:
    """Return a function that returns the account of a request's access token. Checked signatures are cached."""
    authenticator = container.auth.authenticator()

    def account(scope: Scope) -> int | None:
        try:
            return read_access_token(scope, authenticator).user_id.int
        except AppError:
            return None

    return account
