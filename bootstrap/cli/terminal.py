"""Common parts of commands: settings and error messages."""

import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, TypeVar

from bootstrap.runtime.loading import loading
from bootstrap.settings.loading import load_settings
from bootstrap.settings.model import Settings
from bootstrap.settings.required import EVERYTHING

T = TypeVar("T")
_LAST_WORDS = 5.0
"""Seconds; they take microseconds."""


def command_settings(required: Sequence[str] = EVERYTHING) -> Settings:
    """Read the settings; beside a running `tulou dev`, also where its servers listen.

    `required` are those that production refuses to start without.
    """
    with loading():
        from shared.logging import configure_logging

    loaded = load_settings(required)
    if loaded.env != "production" and loaded.database_url is None:
        from bootstrap.settings.generated_secrets import ensure_secrets, read_environment_file
        from bootstrap.settings.running_services import running_services

        running = running_services(loaded.data_dir)
        if running:
            found = read_environment_file(ensure_secrets(loaded.data_dir)) | running
            for name, value in found.items():
                os.environ.setdefault(name, value)
            loaded = load_settings(required)
    configure_logging(level=loaded.log_level, log_format=loaded.logs_as)
    return loaded


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, then wait for the threads of the file store.

    A thread that still runs Python code at exit aborts the process (exit code -6), although all work was done.
    """
    import asyncio

    before = _foreign_threads()
    try:
        return asyncio.run(work)
    finally:
        until = time.monotonic() + _LAST_WORDS
        while _foreign_threads() - before and time.monotonic() < until:
            time.sleep(0.001)


def _foreign_threads() -> set[int]:
    """Return the threads that run Python code but were not started by Python."""
    return set(sys._current_frames()) - {thread.ident for thread in threading.enumerate() if thread.ident}  # noqa: SLF001  # documented


def exit_on_error(action: Callable[[], T]) -> T:
    """Return the result of an action; an expected error becomes one sentence and exit code 1."""
    from shared.errors import AppError

    try:
        return action()
    except AppError as error:
        stop(error.detail)


def stop(sentence: str, code: int = 1) -> NoReturn:
    """Print a sentence to standard error and exit."""
    sys.stderr.write(f"{sentence}\n")
    sys.exit(code)
