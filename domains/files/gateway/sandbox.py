"""The worker's side of the sandbox: the only process in which images and documents are opened."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from domains.files.gateway.child import Child
from domains.files.gateway.failures import broken, unavailable
from domains.files.gateway.protocol import REFUSALS, Done, Failed, Refused, check_content, checked_facts
from domains.files.gateway.scratch import Scratch
from domains.files.settings import FilesSettings

_ROOT = Path(__file__).resolve().parents[3]
# Isolated from the environment and the user's packages; only this program's folder is added.
_PROGRAM = (
    sys.executable,
    "-I",
    "-c",
    f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from domains.files.gateway import renderer; renderer.main()",
)


class Sandbox:
    """Keeps one child process per worker slot and sends it one request at a time.

    The child is replaced for another person's file, after a number of operations, and if it took too long, died or
    sent an invalid response. It is ended when the operation's task is cancelled. docs/files.md lists its restrictions.
    """

    def __init__(self, settings: FilesSettings, *, program: Sequence[str] = _PROGRAM) -> None:
        """Start nothing; the first operation does."""
        self.settings = settings
        self.program = program
        self._confined = settings.files_sandbox == "on"
        changes_user = self._confined and os.geteuid() == 0
        self._scratch = Scratch(
            settings.files_scratch_folder, user=settings.files_sandbox_user if changes_user else None
        )
        self._owners: dict[Path, UUID | None] = {}
        self._child: Child | None = None
        self._child_owner: UUID | None = None
        self._child_folder: Path | None = None
        self._child_lock = asyncio.Lock()

    @asynccontextmanager
    async def workspace(self, owner_id: UUID | None = None) -> AsyncIterator[Path]:
        """Yield an empty folder for a file of this person and its renditions; it is removed at the end."""
        async with self._scratch.workspace() as folder:
            self._owners[folder] = owner_id
            try:
                yield folder
            finally:
                del self._owners[folder]

    async def perform(
        self, operation: str, *, source: Path, **arguments: str | int | list[int]
    ) -> dict[str, Any]:
        """Perform one operation on a file of a workspace, and return the facts.

        Raises SandboxUnavailable, and the errors of `protocol.REFUSALS`, which are final.
        """
        async with self._child_lock:
            return await self._perform(source, {"operation": operation, **arguments})

    async def make(
        self, operation: str, *, source: Path, **arguments: str | int | list[int]
    ) -> tuple[dict[str, Any], bytes]:
        """Make something of a file of a workspace. Return the facts and what was made.

        Raises the same errors as `perform`.
        """
        async with self._child_lock:
            with self._scratch.output_in(source.parent) as output:
                request = {"operation": operation, "output": output.name, **arguments}
                facts = await self._perform(source, request)
                try:
                    content = await asyncio.to_thread(output.read, self.settings.files_sandbox_output_bytes)
                    check_content(operation, content, facts)
                except ValueError as error:
                    await self._end_child()
                    raise broken(str(error)) from error
                return facts, content

    async def check(self) -> int:
        """Start the child if none runs, and return its process id. Raises SandboxUnavailable."""
        async with self._child_lock:
            return (await self._ready_child(self._child_owner)).pid

    async def stop(self) -> None:
        """End the child and remove the folder. Safe to call at any time."""
        await self._end_child()
        await asyncio.to_thread(self._scratch.remove)

    async def _perform(self, source: Path, request: dict[str, Any]) -> dict[str, Any]:
        child = await self._ready_child(self._owners[source.parent])
        try:
            granted = await asyncio.to_thread(self._scratch.grant_read, source)
            response = await child.ask(
                {"input": granted, **request},
                seconds=self.settings.files_sandbox_seconds,
                cpu_seconds=self.settings.files_sandbox_cpu_seconds,
            )
            return await self._facts_of(response, source, request)
        except (TimeoutError, ConnectionError, ValueError) as error:
            await self._end_child()
            raise broken(f"{type(error).__name__}: {error}".splitlines()[0][:300]) from error
        except FileNotFoundError as error:
            raise unavailable("The working copy of the file is gone.") from error
        except asyncio.CancelledError:
            await self._end_child()
            raise

    async def _facts_of(
        self, response: Done | Refused | Failed, source: Path, request: dict[str, Any]
    ) -> dict[str, Any]:
        match response:
            case Done(ok=facts):
                return checked_facts(request, facts)
            case Refused(refused=name, detail=detail):
                if not await asyncio.to_thread(source.exists):
                    raise unavailable("The working copy of the file is gone.")
                raise REFUSALS[name](detail)
            case Failed(failed=reason):
                raise unavailable(f"The confined process failed: {reason}")

    async def _ready_child(self, owner_id: UUID | None) -> Child:
        if self._child is not None and not self._is_reusable(self._child, owner_id):
            await self._end_child()
        self._child_owner = owner_id
        if self._child is None:
            self._child_folder = self._scratch.folder
            self._child = await Child.start(
                self.program,
                self._child_folder,
                self._limits(),
                memory=self.settings.files_sandbox_memory_bytes,
            )
        return self._child

    def _is_reusable(self, child: Child, owner_id: UUID | None) -> bool:
        """Return whether a child may open the next file: a compromised one must not see another person's.

        A child whose working folder was removed can't open files in the folder that replaced it.
        """
        settings = self.settings
        is_same_owner = owner_id == self._child_owner or settings.files_sandbox_shared == "on"
        is_fresh = child.operations < settings.files_sandbox_operations
        return child.usable and is_same_owner and is_fresh and self._scratch.folder == self._child_folder

    def _limits(self) -> dict[str, object]:
        settings = self.settings
        return {
            "confined": self._confined,
            "parent": os.getpid(),
            "user": settings.files_sandbox_user,
            "memory_bytes": settings.files_sandbox_memory_bytes,
            "output_bytes": settings.files_sandbox_output_bytes,
            "cpu_seconds": settings.files_sandbox_cpu_seconds * settings.files_sandbox_operations,
            "threads": settings.files_sandbox_threads,
        }

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()
