"""System calls by name and number, for attacks from inside. Numbers are those of x86_64 and aarch64.

Only the standard library is used, since this is imported before the confinement.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Callable

from domains.files.gateway.system_calls import ALLOWED, ALLOWED_BY_ARGUMENT, REFUSED

Attempts = dict[str, Callable[[], object]]
AT_FDCWD = -100

_OTHERS = {
    "semget": (64, 190), "flock": (73, 32), "sched_setscheduler": (144, 119), "adjtimex": (159, 171),
    "sched_setaffinity": (203, 122), "timer_create": (222, 107), "ioprio_set": (251, 30), "utimensat": (280, 88),
    "signalfd4": (289, 74), "fallocate": (285, 47), "inotify_init1": (294, 26), "pipe2": (293, 59),
    "name_to_handle_at": (303, 264), "seccomp": (317, 277), "clone3": (435, 435), "openat2": (437, 437),
    "process_madvise": (440, 440), "landlock_create_ruleset": (444, 444), "faccessat": (269, 48), "dup": (32, 23),
    "close_range": (436, 436), "fadvise64": (221, 223), "statx": (332, 291), "statfs": (137, 43),
    "rt_sigaction": (13, 134), "ppoll": (271, 73), "sched_getaffinity": (204, 123), "uname": (63, 160),
    "getpgid": (121, 155), "getsid": (124, 156), "getpriority": (140, 141), "sched_getscheduler": (145, 120),
    "ioprio_get": (252, 31), "get_robust_list": (274, 100), "move_pages": (279, 239), "mincore": (27, 232),
    "cachestat": (451, 451), "readahead": (187, 213), "sync_file_range": (277, 84), "mlock": (149, 228),
    "memfd_secret": (447, 447), "remap_file_pages": (216, 234), "membarrier": (324, 283), "splice": (275, 76),
    "vmsplice": (278, 75), "sendfile": (40, 71), "copy_file_range": (326, 285), "pwritev2": (328, 287),
    "eventfd2": (290, 19), "epoll_create1": (291, 20), "timerfd_create": (283, 85), "fanotify_init": (300, 262),
    "setitimer": (38, 103), "futex_waitv": (449, 449), "set_mempolicy": (237, 237), "pkey_alloc": (330, 289),
}  # fmt: skip
_NUMBERS = ALLOWED | ALLOWED_BY_ARGUMENT | REFUSED | _OTHERS
_COLUMN = ("x86_64", "aarch64").index(platform.machine())


def call(name: str, *arguments: object) -> int:
    number = _NUMBERS[name][_COLUMN]
    if number is None:
        raise OSError(errno.ENOSYS, f"{name} is not a call of this architecture")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def opened(path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> None:
    os.close(os.open(path, flags, mode))


def with_descriptor(path: str, use: Callable[[int], object], flags: int = os.O_WRONLY) -> None:
    number = os.open(path, flags)
    try:
        use(number)
    finally:
        os.close(number)
