"""Small files that only their owner may read."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` atomically with mode 0600; an existing file is replaced."""
    temporary = _temporary_beside(path, text)
    temporary.replace(path)


def write_private_once(path: Path, text: str) -> bool:
    """Write `text` to `path` with mode 0600 unless the file exists; say whether it was written.

    Of several processes that try at once exactly one writes, and all of them find the same file afterwards.
    """
    temporary = _temporary_beside(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _temporary_beside(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)
