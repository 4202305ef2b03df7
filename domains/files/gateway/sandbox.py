"""The one process in which images and documents are opened, seen from the side of the worker."""

import asyncio
import fcntl
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from domains.files.errors import (
    BrokenDocument,
    ImageTooLarge,
    ParserLimit,
    PasswordRequired,
    SandboxUnavailable,
)
from domains.files.settings import FilesSettings
from shared.errors import AppError
from shared.ids import new_id

_ROOT = Path(__file__).resolve().parents[3]
# Isolated from the environment and from the user's own packages; only this program's folder is added.
_PROGRAM = (
    sys.executable,
    "-I",
    "-c",
    f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from domains.files.gateway import renderer; renderer.main()",
)
_REFUSALS: dict[str, type[AppError]] = {
    "image_too_large": ImageTooLarge,
    "broken_document": BrokenDocument,
    "password_required": PasswordRequired,
    "parser_limit": ParserLimit,
}
_START_SECONDS = 30
_YOUNG_SECONDS = 60


class Sandbox:
    """Keeps one warm child process for this worker slot and asks it one thing at a time.

    The child is replaced after a number of operations and whenever it took too long, died or talked nonsense; it is
    ended when the operation's task is cancelled. It has no network, no other process, no memory beyond its limit and
    sees no files but those in the workspace.
    """

    def __init__(self, settings: FilesSettings, *, program: Sequence[str] = _PROGRAM) -> None:
        """Start nothing yet: the first operation does."""
        self.settings = settings
        self.program = program
        self._folder: Path | None = None
        self._folder_lock = -1
        self._child: asyncio.subprocess.Process | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._operations = 0

    def workspace(self) -> AbstractAsyncContextManager[Path]:
        """Return a context manager of an empty folder that the child can read and write, removed at the end."""
        return self._workspace()

    async def perform(self, operation: str, **arguments: str | int) -> dict[str, Any]:
        """Have the child do one operation of `renderer.OPERATIONS` and return its answer.

        Raises ImageTooLarge, BrokenDocument, PasswordRequired, ParserLimit, which are final, and SandboxUnavailable.
        """
        async with self._turn:
            child = await self._ready_child()
            try:
                async with asyncio.timeout(self.settings.files_sandbox_seconds):
                    answer = await _ask(child, {"operation": operation, **arguments})
            except (TimeoutError, ConnectionError, ValueError) as error:
                await self._end_child()
                raise ParserLimit from error
            except BaseException:
                await self._end_child()
                raise
            if "refused" in answer and not await asyncio.to_thread(Path(str(arguments.get("input"))).exists):
                raise SandboxUnavailable("The working copy of the file is gone.")
            return _result_of(answer)

    async def stop(self) -> None:
        """End the child and remove the folder. Safe to call at any time."""
        await self._end_child()
        if self._folder is not None:
            await asyncio.to_thread(rmtree, self._folder, ignore_errors=True)
            os.close(self._folder_lock)
            self._folder = None

    @asynccontextmanager
    async def _workspace(self) -> AsyncIterator[Path]:
        workspace = self._scratch_folder() / str(new_id())
        workspace.mkdir(mode=0o700)
        try:
            yield workspace
        finally:
            await asyncio.to_thread(rmtree, workspace, ignore_errors=True)

    def _scratch_folder(self) -> Path:
        if self._folder is None or not self._folder.exists():
            base = self.settings.files_scratch_folder
            if base is not None:
                base.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="tulou-files-", dir=base)).resolve()
            self._folder_lock = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._folder_lock, fcntl.LOCK_EX)
            _remove_orphans(self._folder.parent)
        return self._folder

    async def _ready_child(self) -> asyncio.subprocess.Process:
        worn_out = self._operations >= self.settings.files_sandbox_operations
        foreign = self._loop is not asyncio.get_running_loop()
        if self._child is not None and (worn_out or foreign or self._child.returncode is not None):
            await self._end_child()
        if self._child is None:
            self._child = await self._start_child()
        self._operations += 1
        return self._child

    async def _start_child(self) -> asyncio.subprocess.Process:
        folder = self._scratch_folder()
        child = await asyncio.create_subprocess_exec(
            *self.program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env=_environment(folder),
            # A signal to the worker's group, as Ctrl-C sends, must not pass for a parser's crash.
            start_new_session=True,
        )
        self._loop, self._operations, self._child = asyncio.get_running_loop(), 0, child
        try:
            async with asyncio.timeout(_START_SECONDS):
                answer = await _ask(child, self._limits(folder))
        except (TimeoutError, ConnectionError, ValueError) as error:
            await self._end_child()
            raise SandboxUnavailable from error
        except BaseException:
            await self._end_child()
            raise
        if "ready" not in answer:
            await self._end_child()
            reason = f"The confined process refuses to start: {answer.get('unavailable')}"
            raise SandboxUnavailable(reason)
        return child

    def _limits(self, folder: Path) -> dict[str, object]:
        return {
            "folder": str(folder),
            "confined": self.settings.files_sandbox == "on",
            "memory_bytes": self.settings.files_sandbox_memory_bytes,
            "output_bytes": self.settings.files_sandbox_output_bytes,
            "cpu_seconds": self.settings.files_sandbox_cpu_seconds,
        }

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            child.kill()
        if self._loop is asyncio.get_running_loop():
            await asyncio.shield(child.wait())


async def _ask(child: asyncio.subprocess.Process, request: dict[str, Any]) -> dict[str, Any]:
    """Send one line, return the answer. Raises ConnectionError when the child is gone, ValueError on nonsense."""
    if child.stdin is None or child.stdout is None:
        raise ConnectionError
    child.stdin.write(json.dumps(request).encode() + b"\n")
    await child.stdin.drain()
    line = await child.stdout.readline()
    if not line:
        raise ConnectionResetError
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise ValueError  # noqa: TRY004  # the child's nonsense, not a mistake of ours
    return answer


def _result_of(answer: dict[str, Any]) -> dict[str, Any]:
    if "ok" in answer:
        return dict(answer["ok"])
    if "refused" in answer:
        raise _REFUSALS.get(str(answer["refused"]), BrokenDocument)(str(answer.get("detail")))
    reason = f"The confined process failed: {answer.get('failed')}"
    raise SandboxUnavailable(reason)


def _environment(folder: Path) -> dict[str, str]:
    """Return the child's whole environment: none of the worker's secrets, one arena and one thread at a time."""
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "MALLOC_ARENA_MAX": "1",
        "VIPS_BLOCK_UNTRUSTED": "1",
        "VIPS_CONCURRENCY": "1",
    }


def _remove_orphans(base: Path) -> None:
    """Remove the folders of workers that were killed: the kernel has released the lock that a live one holds."""
    for folder in base.glob("tulou-files-*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                _remove_if_unlocked(folder)


def _remove_if_unlocked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
