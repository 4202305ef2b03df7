"""Composes the program from settings. API, workers, relay, commands and tests start here."""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Literal

from bootstrap.runtime.loading import loading
from bootstrap.settings.model import Settings, SettingsError
from bootstrap.settings.required import required_settings

with loading():
    from bootstrap.container import TulouContainer, domains_of, exports
    from domains.auth.gateway.signing_keys import ES256
    from shared.jobs import JobRefused, handlers_in

Role = Literal["api", "worker", "relay", "command"]
RELAY_POOL = 4


def compose(settings: Settings, role: Role = "command") -> TulouContainer:
    """Return the composed program. Starts nothing: `container.database().start()` is the caller's.

    Raises:
        SettingsError: something without which nothing can run is not set, or a job's timeout is too long.
    """
    # A worker has already checked the settings that its queues need.
    require(settings, required_settings("relay" if role == "worker" else role))
    container = TulouContainer(
        settings=settings,
        database_url=settings.database_url.get_secret_value() if settings.database_url else "",
        pool_size=_pool_size(settings, role),
        # Only the API uses replicas: a job must not change data based on stale reads.
        replica_urls=settings.plain_replica_urls if role == "api" else (),
        worker_id=_name(role),
    )
    container.check_dependencies()
    _refuse_unknown_domains(container)
    _enter_jobs(container)
    return container


def _enter_jobs(container: TulouContainer) -> None:
    try:
        for tasks in exports(container, "tasks").values():
            container.registry().add(handlers_in(tasks))
    except JobRefused as refused:
        raise SettingsError(str(refused)) from refused


def require(settings: Settings, names: Sequence[str]) -> None:
    """Check the settings that every process requires; only production requires a mail server.

    Raises:
        SettingsError: it names what is missing.
    """
    required = [name for name in names if name != "emails_smtp_url"]
    if "signing_keys" in required and settings.auth_signing_algorithm == ES256:
        required.append("signing_keys_es256")
    missing = [f"TULOU_{name.upper()}" for name in required if not getattr(settings, name)]
    if missing:
        raise SettingsError(
            f"Not set: {', '.join(missing)}. `tulou dev` (make run) brings all of them; otherwise set them"
            " in the environment. `tulou settings` explains each."
        )


def _refuse_unknown_domains(container: TulouContainer) -> None:
    known = domains_of(container)
    unknown = [name for name in container.settings().domains if name not in known]
    if unknown:
        raise SettingsError(
            f"TULOU_DOMAINS names {', '.join(unknown)}; the domains are {', '.join(sorted(known))}."
        )


def _pool_size(settings: Settings, role: Role) -> int:
    if role == "api":
        return settings.database_pool
    return settings.database_worker_pool if role == "worker" else RELAY_POOL


def _name(role: Role) -> str:
    """Return the name by which this process claims jobs. Children of a worker name it too."""
    host, process = socket.gethostname(), os.getpid()
    return f"{host}:{os.getppid()}/{process}" if role == "worker" else f"{host}:{process}"


async def start(container: TulouContainer) -> None:
    """Open the pools. They connect lazily, so an unavailable database does not stop the start."""
    await container.database().start()


async def stop(container: TulouContainer) -> None:
    """Stop background work of the domains, then close the pools."""
    parts = [part for found in exports(container, "stoppables").values() for part in found]
    await asyncio.gather(*(part.stop() for part in parts))
    await container.database().stop()
