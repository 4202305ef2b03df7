"""The API: the composed domains' routes behind a few plain ASGI layers."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from redis.asyncio import Redis
from starlette.types import ASGIApp, Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bootstrap import health, metrics
from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer, offers
from bootstrap.documentation import install_documentation
from bootstrap.settings import Settings
from shared.http import catalogue
from shared.http.middleware import RequestIds, RequestLimits
from shared.http.problems import ProblemWriter, UnexpectedErrors
from shared.http.routing import does_stream_body

TAGS = [
    {"name": "auth", "description": "Who may come in."},
    {"name": "users", "description": "Who people are."},
    {"name": "files", "description": "Bytes, and what is made of them."},
    {"name": "emails", "description": "Messages and their fate."},
    {"name": "jobs", "description": "Work that goes on behind an answer."},
    {"name": "health", "description": "Is it alive, can it serve?"},
    {"name": "errors", "description": "What each error code means."},
]


def create_api(settings: Settings, container: TulouContainer | None = None) -> FastAPI:
    """Return the application. Its pools open when it starts and close when it stops."""
    container = container or compose(settings, "api")
    app = FastAPI(
        title="Tulou",
        version="0.1.0",
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.container = container
    app.state.authenticator = container.auth.authenticator()
    app.state.metrics = metrics.JobMetrics(container.jobs.operations())
    writer = ProblemWriter(public_url=settings.public_url, methods_at=_methods_at(container))
    writer.install(app)
    for router in routers_of(container):
        app.include_router(router)
    install_documentation(app)
    # The last one added is the outermost.
    app.add_middleware(UnexpectedErrors, problems=writer)
    app.add_middleware(
        RequestLimits, problems=writer, max_body=settings.max_body_bytes, streams=_streaming_routes(container)
    )
    app.add_middleware(RequestIds)
    if settings.trusted_proxies:
        app.add_middleware(_believe_proxies, trusted=settings.trusted_proxies)
    return app


def routers_of(container: TulouContainer) -> list[APIRouter]:
    """Return the routers of every domain, and those that belong to none."""
    offered = [router for routers in offers(container, "routers").values() for router in routers]
    return [health.router, metrics.router, catalogue.router, *offered]


def routes_of(container: TulouContainer) -> list[APIRoute]:
    """Return every route. The application doesn't list them: it takes in a router when it is first asked for."""
    routes = [route for router in routers_of(container) for route in router.routes]
    return [route for route in routes if isinstance(route, APIRoute)]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    container: TulouContainer = app.state.container
    redis_url = container.settings().redis_url
    app.state.redis = Redis.from_url(
        redis_url.get_secret_value() if redis_url else "", socket_timeout=1, socket_connect_timeout=1
    )
    await start(container)
    try:
        yield
    finally:
        await stop(container)
        await app.state.redis.aclose()


def _believe_proxies(app: ASGIApp, trusted: tuple[str, ...]) -> ASGIApp:
    return ProxyHeadersMiddleware(app, trusted_hosts=list(trusted))  # type: ignore[arg-type,return-value]  # same ASGI


def _methods_at(container: TulouContainer) -> Callable[[str], set[str]]:
    """Return what tells a path's methods: several routers may share a path, and each knows only its own."""
    known = [(route.path_regex, route.methods or set()) for route in routes_of(container)]

    def methods_at(path: str) -> set[str]:
        return {method for pattern, methods in known if pattern.match(path) for method in methods}

    return methods_at


def _streaming_routes(container: TulouContainer) -> Callable[[Scope], bool]:
    """Return the test whether a request goes to a route that reads its body by itself."""
    streaming = [
        (route.path_regex, route.methods or set())
        for route in routes_of(container)
        if does_stream_body(route.endpoint)
    ]

    def streams(scope: Scope) -> bool:
        return any(
            scope["method"] in methods and re.match(pattern, scope["path"]) for pattern, methods in streaming
        )

    return streams
