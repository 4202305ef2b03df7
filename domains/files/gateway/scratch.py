"""The folder that a worker shares with its sandbox process: copies of files to read, and empty files to write."""

import asyncio
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from shutil import rmtree

from domains.files.gateway.failures import unavailable
from shared.ids import new_id

_YOUNG_SECONDS = 60
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_EXISTING_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Scratch:
    """One folder of this worker, with a subfolder for each workspace.

    `user` is the user and group id of the sandbox process, if it differs from the worker's: that user may enter the
    folders and owns the files to write, but can create none. No third user may enter.
    """

    def __init__(self, base: Path | None, *, user: int | None) -> None:
        """Create nothing; the first use does."""
        self._base = base
        self._user = user
        self._folder: Path | None = None
        self._lock = -1

    @property
    def folder(self) -> Path:
        """The folder, created if it does not exist."""
        if self._folder is not None and not self._folder.exists():
            self.remove()  # it was removed from outside; its lock is still held
        if self._folder is None:
            self._folder = self._made()
        return self._folder

    @asynccontextmanager
    async def workspace(self) -> AsyncIterator[Path]:
        """Yield an empty folder, removed at the end."""
        workspace = self.folder / str(new_id())
        workspace.mkdir(mode=0o700)
        self._allow_entry(workspace)
        try:
            yield workspace
        finally:
            await asyncio.to_thread(rmtree, workspace, ignore_errors=True)

    def grant_read(self, path: Path) -> str:
        """Allow the sandbox process to read a file, not to write it. Return its path inside the folder.

        Raises FileNotFoundError, and ValueError for a path outside of the folder.
        """
        opened = os.open(path, _EXISTING_FILE)
        try:
            relative = path.relative_to(self.folder)
            self._change_owner(opened)
            os.fchmod(opened, 0o440)
        finally:
            os.close(opened)
        return str(relative)

    @contextmanager
    def output_in(self, workspace: Path) -> Iterator["Output"]:
        """Yield an empty file for the sandbox process to write; it is removed at the end."""
        path = workspace / f"made-{new_id()}"
        opened = os.open(path, _NEW_FILE, 0o600)
        try:
            self._change_owner(opened, owner=self._user)
            yield Output(str(path.relative_to(self.folder)), opened)
        finally:
            os.close(opened)
            with suppress(OSError):
                path.unlink()

    def remove(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None

    def _made(self) -> Path:
        if self._base is not None:
            self._base.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="tulou-files-", dir=self._base)).resolve()
        try:
            self._allow_entry(folder)
        except BaseException:
            folder.rmdir()
            raise
        self._lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        _remove_orphans(folder.parent)
        return folder

    def _allow_entry(self, folder: Path) -> None:
        if self._user is not None:
            self._change_owner(folder)
            folder.chmod(0o710)

    def _change_owner(self, target: int | Path, *, owner: int | None = None) -> None:
        """Change the group, and the owner if given, to the sandbox process's, if it has another user."""
        if self._user is None:
            return
        try:
            os.chown(target, -1 if owner is None else owner, self._user)
        except PermissionError as error:
            message = (
                "The worker runs as root and may not give files to the process. Run the workers of the queue `files`"
                " as another user, or give them CAP_CHOWN."
            )
            raise unavailable(message) from error


class Output:
    """A file that the worker created, for the sandbox process to write.

    It is read through the descriptor that created it: the name could be another file by then.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        """Take the path inside the scratch folder and the open file."""
        self.name = name
        self._descriptor = descriptor

    def read(self, most: int) -> bytes:
        """Return the content. Raises ValueError if it is larger than `most` bytes."""
        facts = os.fstat(self._descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
            raise ValueError("not a file of the size that is allowed")
        content = os.pread(self._descriptor, facts.st_size + 1, 0)
        if len(content) != facts.st_size:
            raise ValueError("a file whose size changes")
        return content


def _remove_orphans(base: Path) -> None:
    """Remove the folders of killed workers, whose locks the kernel has released."""
    for folder in base.glob("tulou-files-*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                _remove_if_unlocked(folder)


def _remove_if_unlocked(folder: Path) -> None:
    # In a shared temporary folder another user may have created a link or a FIFO with this name.
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
