"""Child processes that never outlive this process."""

import atexit
import collections
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.dev.account import Account
from tools.dev.errors import ServerFailed

LineCallback = Callable[[bytes], None]

_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, with its output in one pipe.

    On Linux the kernel sends it `death_signal` when the thread that called this ends, by whatever cause: call
    it from a thread that lives as long as the child does.
    """
    if account is not None:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603 - our own commands, no shell
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop the others in order.
        start_new_session=True,
        preexec_fn=_follow_parent(death_signal),  # noqa: PLW1509 - one system call, nothing that takes a lock
        **options,
    )


def _follow_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if _libc is None:
        return None
    prctl, parent, number = _libc.prctl, os.getpid(), int(death_signal)

    def follow() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        # The parent may have died before the line above.
        if os.getppid() != parent:
            os._exit(1)

    return follow


def kill_group(pid: int) -> None:
    """Kill the process group that `pid` leads, with the children that it left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class ServerProcess:
    """A server run in the foreground by a thread of ours, which reads its output line by line.

    `on_line` gets every line after the server is ready; `on_exit` is called when it ends unasked.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        ready_text: bytes,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
        standard_input: bytes = b"",
        death_signal: signal.Signals = signal.SIGKILL,
        on_line: LineCallback | None = None,
        on_exit: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._ready_text = ready_text
        self._options: dict[str, Any] = {
            "account": account,
            "env": environment,
            "cwd": "/",
            "death_signal": death_signal,
        }
        self._input = standard_input
        self._on_line = on_line
        self._on_exit = on_exit
        self._child: subprocess.Popen[bytes] | None = None
        self._lines: collections.deque[bytes] = collections.deque(maxlen=20)
        self._settled = threading.Event()
        self._ready = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"embedded {name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    @property
    def last_words(self) -> str:
        """The end of the server's output."""
        return b"".join(self._lines).decode(errors="replace").strip()

    def start(self, *, timeout: float) -> None:
        """Start the server and wait until it says that it is ready, at most `timeout` seconds.

        Raises ServerFailed, with the server's last words, when it is not.
        """
        self._thread.start()
        self._settled.wait(timeout)
        if self._ready:
            atexit.register(self.stop)
            return
        self.stop(signal.SIGKILL)
        raise ServerFailed(f"{self.name} did not start. Its last words were: {self.last_words or '(none)'}")

    def stop(self, *signals: signal.Signals, patience: float = 4.0) -> None:
        """Stop the server with each signal in turn, `patience` seconds apart, and at last with SIGKILL."""
        self._stopping = True
        atexit.unregister(self.stop)
        for number in (*(signals or (signal.SIGTERM,)), signal.SIGKILL):
            if self._child is None or self._child.poll() is not None:
                break
            self._child.send_signal(number)
            self._thread.join(patience)
        if self._child is not None:
            kill_group(self._child.pid)
            self._thread.join(patience)

    def _run(self) -> None:
        try:
            self._child = spawn(self._command, stdin=subprocess.PIPE, **self._options)
            self._feed(self._child)
            self._read(self._child)
            self._child.wait()
        except Exception as error:  # noqa: BLE001  # the waiting thread must learn that the server has ended
            self._lines.append(f"{type(error).__name__}: {error}".encode())
        self._settled.set()
        if self._ready and not self._stopping and self._on_exit is not None:
            self._on_exit()

    def _feed(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError), child.stdin:
            child.stdin.write(self._input)

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdout is None:
            return
        with child.stdout:
            for line in child.stdout:
                self._lines.append(line)
                if self._ready and self._on_line is not None:
                    self._on_line(line)
                elif not self._ready and self._ready_text in line:
                    self._ready = True
                    self._settled.set()
