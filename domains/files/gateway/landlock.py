"""Landlock: restrictions on files, sockets and processes of the calling thread.

See landlock(7) and Documentation/userspace-api/landlock.rst of the kernel.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from domains.files.gateway import linux
from domains.files.gateway.linux import ConfinementUnavailableError

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_NEWEST_KNOWN = 7

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files by the first ABI that knows them: 2 adds REFER, 3 TRUNCATE, 5 IOCTL_DEV."""
_NETWORK_RIGHTS = {4: 1 << 0 | 1 << 1}
"""BIND_TCP, CONNECT_TCP."""
_SCOPES = {6: 1 << 0 | 1 << 1}
"""ABSTRACT_UNIX_SOCKET, SIGNAL."""


def version() -> int:
    """Return the version of the kernel's Landlock ABI, 1 to 7. Raises ConfinementUnavailableError without one."""
    try:
        found = linux.call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    except OSError as error:
        raise ConfinementUnavailableError(_missing(error)) from error
    return min(found, _NEWEST_KNOWN)


def restrict_thread(*, writable: Path, readable: Iterable[Path]) -> None:
    """Deny the calling thread, and all that it starts, every right that this kernel's Landlock supports.

    Exceptions: it may read, write and truncate the files that exist beneath `writable`, and read files and list folders
    beneath `readable`. Missing paths are ignored. Raises ConfinementUnavailableError.
    """
    abi = version()
    files, network, scopes = (_up_to(abi, rights) for rights in (_FILE_RIGHTS, _NETWORK_RIGHTS, _SCOPES))
    attributes = struct.pack("=QQQ", files, network, scopes)[: 8 if abi < 4 else 16 if abi < 6 else 24]  # noqa: PLR2004  # ABIs
    try:
        ruleset = linux.call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
        _allow(ruleset, writable, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & files)
        for path in readable:
            _allow(ruleset, path, _READ_FILE | _READ_DIR)
        linux.call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
        os.close(ruleset)
    except OSError as error:
        raise ConfinementUnavailableError(_missing(error)) from error


def _up_to(abi: int, rights: dict[int, int]) -> int:
    return max((bits for since, bits in rights.items() if since <= abi), default=0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        beneath = rights if path.is_dir() else rights & ~_READ_DIR
        rule = struct.pack("=Qi", beneath, opened)
        linux.call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0))
    finally:
        os.close(opened)


def _missing(error: OSError) -> str:
    if error.errno == errno.EOPNOTSUPP:
        advice = "It is switched off: add `landlock` to the kernel's boot parameter `lsm=`."
    else:
        advice = (
            "Use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and a container profile that allows the landlock_*"
            " calls."
        )
    return f"The kernel offers no Landlock here ({error.strerror}). {advice}"
