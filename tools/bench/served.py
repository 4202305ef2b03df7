"""The API as `tulou api` serves it, with one more domain. BENCH_MIDDLEWARE=off: without middleware."""

import os

from fastapi import FastAPI
from fastapi.routing import APIRoute

from bootstrap.api import app as api
from bootstrap.api import server as serve
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings
from shared.http.route_table import RouteTable
from shared.logging import configure_logging
from tools.bench.notes import NoteService, router_of
from tools.bench.processes import run_on, server_core


def create_measured(settings: Settings) -> FastAPI:
    """Return the application that is measured."""
    app = api.create_api(settings)
    container = app.state.api.container
    notes = router_of(NoteService(container.database(), container.clock()))
    app.include_router(notes)
    routes = [route for route in notes.routes if isinstance(route, APIRoute)]
    app.router.routes[0] = RouteTable([*api.routes_of(container), *routes])
    if os.environ.get("BENCH_MIDDLEWARE") == "off":
        app.user_middleware.clear()
    return app


def main() -> None:
    """Serve until SIGTERM."""
    if os.environ.get("BENCH_CORES") != "all":
        run_on(server_core())
    settings = load_settings()
    configure_logging(level=settings.log_level, log_format=settings.logs_as)
    serve.create_api = create_measured
    serve.serve_api(settings)


if __name__ == "__main__":
    main()
