"""Linux system calls that Python's standard library lacks."""

import ctypes
import os
import struct
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_NO_NEW_PRIVS = 38

CAP_DAC_READ_SEARCH = 1 << 2
"""Read every file and enter every folder (capabilities(7))."""
_CAPABILITIES_VERSION = 0x20080522


class ConfinementUnavailableError(RuntimeError):
    """A layer of the confinement is missing. The message says which, and what to do."""


def call(number: int, *arguments: Any) -> int:
    """Make a system call by its number. Raises OSError."""
    result: int = _libc().syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise _failure(ctypes.get_errno())
    return result


def prctl(option: int, *arguments: int) -> None:
    """Change a property of the calling thread (prctl(2)). Raises OSError."""
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc().prctl(option, *padded) != 0:
        raise _failure(ctypes.get_errno())


def permitted_capabilities() -> int:
    """Return the permitted capabilities of the calling thread as a bit set."""
    return _capabilities()[1] | _capabilities()[4] << 32


def keep_capabilities(kept: int) -> None:
    """Drop all capabilities of the calling thread except `kept`, a bit set of those below 32."""
    data = ctypes.create_string_buffer(struct.pack("=6I", kept, kept, 0, 0, 0, 0))
    if _libc().capset(_capabilities_header(), data) != 0:
        raise _failure(ctypes.get_errno())


def _capabilities() -> tuple[int, ...]:
    data = ctypes.create_string_buffer(24)
    if _libc().capget(_capabilities_header(), data) != 0:
        raise _failure(ctypes.get_errno())
    return struct.unpack("=6I", data.raw[:24])


def _capabilities_header() -> Any:
    return ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_VERSION, 0))


def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):
        message = "This system is not Linux. Only Linux can confine the process that opens untrusted files."
        raise ConfinementUnavailableError(message)
    libc.syscall.restype = ctypes.c_long
    return libc


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))
