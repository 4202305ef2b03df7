"""Confinement of the sandbox process: the rights that it gives up, in this order, before it opens the first file.

Only the sandbox process uses this module. It can't undo any of it. Until `give_up_the_rest` returns, only installed
libraries have run.
"""

import os
import resource
import signal
import site
import socket
import sysconfig
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domains.files.gateway import landlock, linux, seccomp
from domains.files.gateway.linux import ConfinementUnavailableError

_FIRST_FREE_DESCRIPTOR = 3
_OPEN_FILES = 64
_FONTS = ("/usr/share/fonts", "/usr/share/X11/fonts", "/usr/local/share/fonts")
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")


@dataclass(frozen=True)
class Limits:
    """Limits set by the worker. `parent` is its process id, `user` the user and group id to use instead of root's."""

    parent: int
    user: int
    memory_bytes: int
    output_bytes: int
    cpu_seconds: int
    threads: int


def give_up_files(limits: Limits) -> None:
    """Drop root, end with the parent, and restrict access to files, before any library is loaded.

    Files in the working folder stay accessible. Must run while there is one thread: Landlock and the change of user
    apply to the calling thread and those that it starts. Raises ConfinementUnavailableError.
    """
    os.closerange(_FIRST_FREE_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
    _require_one_thread()
    _drop_root(limits.user)
    # After the change of user, which resets it (prctl(2)).
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != limits.parent:
        message = "The worker that started this process is gone."
        raise ConfinementUnavailableError(message)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict_thread(writable=Path(), readable=readable_paths())


def give_up_capabilities() -> None:
    """Drop the capability to read, after the libraries are loaded. Threads that run already would keep it."""
    linux.keep_capabilities(0)


def give_up_the_rest(limits: Limits) -> None:
    """Set the limits and the filter of system calls, after the libraries were used, and test them.

    Raises ConfinementUnavailableError.
    """
    limit_resources(limits)
    seccomp.filter_all_threads()
    _require_refusals(limits.threads)


def limit_resources(limits: Limits) -> None:
    """Limit memory, files and threads. The worker limits the processor time of an operation."""
    for limit, bound in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.output_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, limits.threads),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        _, hard = resource.getrlimit(limit)
        lower = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(limit, (lower, lower))


def readable_paths() -> list[Path]:
    """Return what the libraries read: Python's and installed packages, shared libraries, fonts, this package."""
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    packages = [*installed, *site.getsitepackages()]
    return [*map(Path, (*packages, *_SYSTEM_LIBRARIES, *_FONTS)), Path(__file__).parent]


def _require_one_thread() -> None:
    threads = list(Path("/proc/self/task").iterdir())
    if len(threads) != 1:
        message = f"The process has {len(threads)} threads before it is confined; it must have one."
        raise ConfinementUnavailableError(message)


def _drop_root(user: int) -> None:
    """Become `user` if this is root. Keep only the capability to read, until the libraries are loaded.

    An interpreter may lie in a folder that only root may enter. Landlock restricts this capability, too.
    """
    kept = linux.permitted_capabilities() & linux.CAP_DAC_READ_SEARCH
    try:
        if 0 in os.getresuid():
            linux.prctl(linux.PR_SET_KEEPCAPS, 1)
            if os.getgroups():
                os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        linux.keep_capabilities(kept)
    except OSError as error:
        message = (
            f"The worker runs as root, and the process can't become user {user} ({error.strerror})."
            " Run the workers of the queue `files` as another user, or give them CAP_SETUID and CAP_SETGID."
        )
        raise ConfinementUnavailableError(message) from error


def _require_refusals(threads: int) -> None:
    """Attempt forbidden operations on this thread and on another. Raises ConfinementUnavailableError if one works."""
    worked = set(_permitted_attempts())
    other = threading.Thread(target=lambda: worked.update(_permitted_attempts()))
    try:
        other.start()
    except RuntimeError as error:
        message = (
            f"The user of the process has {threads} processes and threads on this machine and may have no more."
            " Raise TULOU_FILES_SANDBOX_THREADS, or give the workers of the queue `files` a user of their own."
        )
        raise ConfinementUnavailableError(message) from error
    other.join()
    if worked:
        message = f"The confined process can still {', '.join(sorted(worked))}."
        raise ConfinementUnavailableError(message)


def _permitted_attempts() -> list[str]:
    attempts: dict[str, Callable[[], object]] = {
        "open foreign files": lambda: os.close(os.open("/", os.O_RDONLY)),
        "open files without a right to them": lambda: os.close(os.open("/dev/null", os.O_ACCMODE)),
        "use the network": lambda: socket.socket().close(),
        "start processes": lambda: os.fork() or os._exit(0),
    }
    return [name for name, attempt in attempts.items() if _succeeds(attempt)]


def _succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
