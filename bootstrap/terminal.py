"""What commands have in common: where their settings come from, and how they say that something can't be done."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from bootstrap.configuration import load_settings
from bootstrap.settings import Settings

T = TypeVar("T")


def command_settings() -> Settings:
    """Read the settings; beside a running `tulou dev`, also where its servers listen."""
    from shared.logging import configure_logging  # noqa: PLC0415  # only what a command needs is loaded

    loaded = load_settings()
    if loaded.env != "production" and loaded.database_url is None:
        from bootstrap.embedded.secrets import ensure_secrets, read_environment_file  # noqa: PLC0415  # as above
        from bootstrap.embedded.services import running_services  # noqa: PLC0415  # as above

        running = running_services(loaded.data_dir)
        if running:
            found = read_environment_file(ensure_secrets(loaded.data_dir)) | running
            for name, value in found.items():
                os.environ.setdefault(name, value)
            loaded = load_settings()
    configure_logging(level=loaded.log_level, log_format=loaded.logs_as)
    return loaded


def told(action: Callable[[], T]) -> T:
    """Return what the action does; a fact that stops it becomes one sentence, and the exit code 1."""
    from shared.errors import AppError  # noqa: PLC0415  # as above

    try:
        return action()
    except AppError as error:
        stop(error.detail)


def stop(sentence: str) -> NoReturn:
    """Say why it goes no further, and end with 1."""
    sys.stderr.write(f"{sentence}\n")
    sys.exit(1)
