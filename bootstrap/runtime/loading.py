"""Load the modules of a process quickly, and none that it does not use."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED_INTEGRATIONS = (
    "flask",  # dependency_injector.wiring
    "opentelemetry.sdk",  # redis.observability: metrics of its own; our traces load it when they are configured
    "psutil",  # uvicorn and others
    "pydantic.v1",  # fastapi._compat
    "rich",  # structlog.dev: tracebacks with local variables, which hold secrets
    "watchfiles",  # uvicorn.supervisors
    "werkzeug",  # dependency_injector.wiring
    "yaml",  # uvicorn.config
)
"""Packages that libraries import where they are installed, and do without otherwise: 10 MB of each process."""


@contextmanager
def loading() -> Iterator[None]:
    """Load modules within the block without garbage collection and without `UNUSED_INTEGRATIONS`.

    Modules are no garbage: searching them while they are loaded, and again when the process ends, takes a sixth of a
    start and a quarter of a short command.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    hidden = [name for name in UNUSED_INTEGRATIONS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail (documented)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        if was_enabled:
            gc.enable()
