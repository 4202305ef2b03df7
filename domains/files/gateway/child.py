"""One sandbox process: it is started, verified, sent one request at a time, and ended."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from domains.files.gateway.failures import unavailable
from domains.files.gateway.protocol import (
    LONGEST_LINE,
    OPERATION_RESPONSE,
    START_RESPONSE,
    Done,
    Failed,
    Refused,
    Unavailable,
    encoded,
)
from domains.files.gateway.verification import find_missing_confinement

_START_SECONDS = 30
_LOOK_SECONDS = 0.5
"""How often the processor time of an operation is checked."""


class Child:
    """A running process. Only the event loop that started it can use it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Wrap a process that was just started."""
        self._process = process
        self._loop = asyncio.get_running_loop()
        self.operations = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it runs, and the running event loop can use it."""
        return self._process.returncode is None and self._loop is asyncio.get_running_loop()

    @classmethod
    async def start(
        cls, program: Sequence[str], folder: Path, limits: dict[str, Any], *, memory: int
    ) -> "Child":
        """Start a process in `folder` and wait until it is confined. Raises SandboxUnavailable."""
        child = cls(
            await asyncio.create_subprocess_exec(
                *program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=folder,
                env=_environment(folder, memory),
                limit=LONGEST_LINE,
                # A signal to the worker's group, as Ctrl-C sends, must not pass for a parser's crash.
                start_new_session=True,
            )
        )
        try:
            await child._begin(limits)
        except BaseException:
            await child.end()
            raise
        return child

    async def ask(
        self, request: dict[str, Any], *, seconds: float, cpu_seconds: float
    ) -> Done | Refused | Failed:
        """Perform one operation.

        Raises TimeoutError past one of the limits, ConnectionError if the process ended, ValueError for an invalid
        response. The process must be ended then.
        """
        self.operations += 1
        number = secrets.token_hex(8)
        line = await self._with_limits(
            self._round_trip({"id": number, **request}), seconds=seconds, cpu_seconds=cpu_seconds
        )
        response = OPERATION_RESPONSE.validate_json(line)
        if response.id != number:
            raise ValueError("a response to another request")
        return response

    async def end(self) -> None:
        """Kill it. Safe to call at any time."""
        with suppress(ProcessLookupError, PermissionError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._loop is asyncio.get_running_loop():
            await asyncio.shield(self._gone())

    async def _gone(self) -> None:
        """Wait for its end. An unread, full pipe would keep asyncio from noticing it."""
        if self._process.stdout is not None:
            while await self._process.stdout.read(LONGEST_LINE):
                pass
        await self._process.wait()

    async def _begin(self, limits: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                response = START_RESPONSE.validate_json(await self._round_trip(limits))
        except (TimeoutError, ConnectionError, ValueError) as error:
            raise unavailable(f"The confined process does not start ({type(error).__name__}).") from error
        if isinstance(response, Unavailable):
            raise unavailable(response.unavailable)
        if not limits["confined"]:
            return
        reason = await asyncio.to_thread(find_missing_confinement, self.pid, was_root=os.geteuid() == 0)
        if reason is not None:
            raise unavailable(f"The process is not confined: {reason}.")
        self._require_right_to_end()

    def _require_right_to_end(self) -> None:
        try:
            os.kill(self.pid, 0)
        except PermissionError as error:
            message = (
                "The worker runs as root and may not end the process. Run the workers of the queue `files` as another"
                " user, or give them CAP_KILL."
            )
            raise unavailable(message) from error
        except ProcessLookupError as error:
            raise unavailable("The confined process ended as soon as it was confined.") from error

    async def _round_trip(self, message: dict[str, Any]) -> bytes:
        if self._process.stdin is None or self._process.stdout is None:
            raise ConnectionError
        self._process.stdin.write(encoded(message))
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError
        return line

    async def _with_limits(self, round_trip: Any, *, seconds: float, cpu_seconds: float) -> bytes:
        """Wait for a round trip. The processor time is read from outside, where the process can't forge it."""
        waiting = asyncio.ensure_future(round_trip)
        deadline = time.monotonic() + seconds
        allowed = self._cpu_seconds() + cpu_seconds
        try:
            while True:
                left = deadline - time.monotonic()
                done, _ = await asyncio.wait({waiting}, timeout=max(0, min(left, _LOOK_SECONDS)))
                if done:
                    return bytes(waiting.result())
                if left <= 0 or self._cpu_seconds() > allowed:
                    raise TimeoutError
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def _cpu_seconds(self) -> float:
        """Return the processor time of all its threads so far (clock_getcpuclockid(3)); 0 where that is unknown."""
        if sys.platform != "linux":
            return 0
        try:
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return 0


def _environment(folder: Path, memory: int) -> dict[str, str]:
    """Return the whole environment: none of the worker's secrets, one arena and one thread at a time."""
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "MALLOC_ARENA_MAX": "1",
        "VIPS_BLOCK_UNTRUSTED": "1",
        "VIPS_CONCURRENCY": "1",
        # It can create no files: what libvips would put on the disk stays in memory, which is bounded.
        "VIPS_DISC_THRESHOLD": str(memory),
    }
