"""Where the services of a running `tulou dev` listen, for commands in a second terminal."""

import fcntl
from pathlib import Path

from bootstrap.settings.generated_secrets import read_environment_file

FILE_NAME = "services.env"
LOCK_NAME = "running.lock"


def running_services(data_dir: Path) -> dict[str, str]:
    """Return the environment (DATABASE_URL and so on) of what `tulou dev` runs from `data_dir` now.

    Empty when it does not run.
    """
    if not _is_locked(data_dir / LOCK_NAME):
        return {}
    try:
        return read_environment_file(data_dir / FILE_NAME)
    except FileNotFoundError:
        return {}


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
