"""The API as `tulou api` serves it, with one more domain. BENCH_FRAME=off: no layer stands in front of the routes."""

import os

from fastapi import FastAPI

from bench.notes import NoteService, router_of
from bench.processes import run_on, server_core
from bootstrap import api, serve
from bootstrap.settings import Settings, load_settings
from shared.logging import configure_logging


def create_measured(settings: Settings) -> FastAPI:
    """Return the application that is measured."""
    app = api.create_api(settings)
    container = app.state.container
    app.include_router(router_of(NoteService(container.database(), container.clock())))
    if os.environ.get("BENCH_FRAME") == "off":
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
