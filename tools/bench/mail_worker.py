"""A worker of the queue of mails, as `tulou worker --queue mail` starts it."""

import os

from bootstrap.settings.loading import load_settings
from shared.logging import configure_logging


def main() -> None:
    """Work until SIGTERM."""
    # Celery reads it when it is imported, as in `tulou worker`.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    from bootstrap.worker import Worker  # noqa: PLC0415  # after the line above

    settings = load_settings()
    configure_logging(level=settings.log_level, log_format=settings.logs_as)
    Worker(settings, ["mail"]).run()


if __name__ == "__main__":
    main()
