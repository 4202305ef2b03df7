"""What runs from a data folder, and where its embedded services listen: for commands in a second terminal."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bootstrap.embedded.errors import AlreadyRunning
from bootstrap.embedded.private_files import write_private
from bootstrap.embedded.secrets import read_environment_file

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


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold `data_dir` for this process, until it leaves the block or dies.

    Raises AlreadyRunning when another process holds it.
    """
    with (data_dir / LOCK_NAME).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(
                f"Tulou already runs from {data_dir} (process {lock.read().strip() or 'unknown'}): "
                "stop that one first, or choose another folder with TULOU_DATA_DIR."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            yield
        finally:
            (data_dir / FILE_NAME).unlink(missing_ok=True)


def publish_services(data_dir: Path, environment: Mapping[str, str]) -> None:
    """Write down where the services listen, for `running_services`; call it inside `only_one`."""
    write_private(data_dir / FILE_NAME, "".join(f"{name}={value}\n" for name, value in environment.items()))


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
