"""Start a program as a plain user, without some capabilities, or on a kernel that seems to lack some system calls.

    python -I launch.py '{"user": 61234, "missing": [444, 445, 446]}' PROGRAM ARGUMENTS...

What this changes holds for this process and those that it starts; nothing else is touched.
"""

import ctypes
import errno
import json
import os
import struct
import sys

_DROP_FROM_BOUNDING_SET, _KEEP_CAPABILITIES, _NO_NEW_PRIVILEGES, _SECCOMP, _AMBIENT = 24, 8, 38, 22, 47
_READ_SEARCH = 2

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def become(user: int) -> None:
    """Become a plain user, who may read this interpreter, wherever it lies, and nothing else that others own."""
    checked(libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kept = 1 << _READ_SEARCH
    checked(libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", kept, kept, kept, 0, 0, 0)))
    checked(libc.prctl(_AMBIENT, 2, _READ_SEARCH, 0, 0))


def lack(calls: list[int]) -> None:
    """Answer these calls with ENOSYS, as a kernel does that is older or was built without them."""
    program = struct.pack("=HBBI", 0x20, 0, 0, 0)
    for number in calls:
        program += struct.pack("=HBBI", 0x15, 0, 1, number) + struct.pack(
            "=HBBI", 0x06, 0, 0, 0x50000 | errno.ENOSYS
        )
    program += struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
    buffer = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    checked(libc.prctl(_SECCOMP, 2, ctypes.byref(Program(len(program) // 8, ctypes.addressof(buffer))), 0, 0))


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    if options.get("user") is not None and os.geteuid() == 0:
        become(options["user"])
    for capability in options.get("without_capabilities", []):
        checked(libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0))
    if options.get("missing"):
        lack(options["missing"])
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  # that is what this is for
