"""Locks a data folder for one process, and records the addresses of its embedded services."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bootstrap.settings.private_files import write_private
from bootstrap.settings.running_services import FILE_NAME, LOCK_NAME
from tools.dev.errors import AlreadyRunning


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Lock `data_dir` for this process, until it leaves the block or dies.

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
