"""The program under test: composed and run as `tulou` does, with the faults' jobs, routes and switches.

`python -m tools.faults.program serve`, `relay`, or `worker QUEUE...`
"""

import asyncio
import os
import sys

from bootstrap.compose import Role, compose
from bootstrap.container import TulouContainer
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings
from shared.logging import configure_logging
from tools.faults import jobs, switches


def composed(settings: Settings, role: Role) -> TulouContainer:
    """Compose as bootstrap does, and add what the faults need."""
    container = compose(settings, role)
    handlers = [*jobs.ALWAYS, *jobs.OF_GENERATION.get(switches.switch("GENERATION"), ())]
    if switches.switch("CLOCK_FILE"):
        handlers.append(jobs.tick)
    container.registry().add(handlers)
    switches.after_composing(container)
    return container


def serve(settings: Settings) -> None:
    """Serve the API."""
    from bootstrap.api import server as serving
    from bootstrap.api.app import create_api
    from tools.faults.routes import install

    serving.create_api = lambda given: install(create_api(given, composed(given, "api")))
    serving.serve_api(settings)


def relay(settings: Settings) -> None:
    """Relay."""
    from bootstrap import relay as relaying

    relaying.compose = composed
    asyncio.run(relaying.run_relay(settings))


def worker(settings: Settings, queues: list[str]) -> None:
    """Work."""
    from bootstrap.worker import Worker

    Worker(settings, queues, composed=lambda given: composed(given, "worker")).run()


def main() -> None:
    """Run one of the programs."""
    command, *queues = sys.argv[1:]
    if command == "worker":
        # As `tulou worker` does, before Celery is imported.
        os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    switches.before_composing()
    settings = load_settings()
    configure_logging(level=settings.log_level, log_format=settings.logs_as)
    if command == "serve":
        serve(settings)
    elif command == "relay":
        relay(settings)
    else:
        worker(settings, queues)


if __name__ == "__main__":
    main()
