"""Attacks with arguments of system calls, and calls that no decoder needs. All must be refused."""

import ctypes
import mmap
import os
import platform
import signal
import struct
import time

from tests.security.sandbox.calls import AT_FDCWD, Attempts, call, opened, with_descriptor

_NEITHER_READ_NOR_WRITE = os.O_ACCMODE
_READING = {
    "x86_64": {0o100000, 0o200000, 0o2000000},
    "aarch64": {0o400000, 0o40000, 0o2000000},
}
"""O_LARGEFILE, O_DIRECTORY and O_CLOEXEC."""
_PAGES = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
_ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(_PAGES))


def opening(target: dict) -> Attempts:
    victim, source, output = target["victim"], target["source"], target["output"]
    paths = {
        "a foreign file": victim,
        "/etc/passwd": "/etc/passwd",
        "the worker's environment": f"/proc/{target['parent']}/environ",
        "a terminal": "/dev/ptmx",
        "a tunnel": "/dev/net/tun",
        "FUSE": "/dev/fuse",
        "its source": source,
    }
    modes = {
        "neither to read nor to write": _NEITHER_READ_NOR_WRITE,
        "neither, without waiting": _NEITHER_READ_NOR_WRITE | os.O_NONBLOCK,
        "as a path": os.O_PATH,
        "as a path, not following": os.O_PATH | os.O_NOFOLLOW,
        "as a path, with mode 3": os.O_PATH | _NEITHER_READ_NOR_WRITE,
    }
    attempts: Attempts = {
        f"open {name} {how}": lambda path=path, flags=flags: opened(path, flags)
        for name, path in paths.items()
        for how, flags in modes.items()
    }
    bits = {1 << position for position in range(31)} - _READING[platform.machine()] - {os.O_WRONLY}
    attempts |= {
        f"open its source with the flag {bit:#o}": lambda bit=bit: opened(source, bit) for bit in sorted(bits)
    }
    attempts |= {
        f"write its output with the flag {bit:#o}": lambda bit=bit: opened(output, os.O_WRONLY | bit)
        for bit in sorted(bits - {os.O_CREAT, os.O_TRUNC})
    }
    how = struct.pack("=3Q", _NEITHER_READ_NOR_WRITE, 0, 0)
    return attempts | {
        "advise on the pages of a foreign file": lambda: with_descriptor(
            victim, lambda number: os.posix_fadvise(number, 0, 0, 4), _NEITHER_READ_NOR_WRITE
        ),
        "open with mode 3 by openat2": lambda: call("openat2", AT_FDCWD, os.fsencode(victim), how, 24),
        "open with mode 3 by open": lambda: os.close(call("open", os.fsencode(victim), 3, 0)),
        "creat": lambda: os.close(call("creat", os.fsencode(output), 0o600)),
        "open by a handle": lambda: call("open_by_handle_at", 0, struct.pack("=Ii", 8, 1) + bytes(8), 0),
        "secret memory as a file": lambda: os.close(call("memfd_secret", 0)),
    }


def looking(target: dict) -> Attempts:
    """What tells of files and processes of others, and of the machine."""
    parent, source = target["parent"], target["source"]
    victim = os.fsencode(target["victim"])
    pages = ctypes.create_string_buffer(64)
    clock = (~parent << 3) | 2
    return {
        "follow a foreign link": lambda: os.readlink("/proc/mounts"),
        "follow a foreign link by readlinkat": lambda: call(
            "readlinkat", AT_FDCWD, b"/proc/mounts", pages, 64
        ),
        "look at a foreign link": lambda: os.lstat("/proc/mounts"),
        "look at a foreign link by lstat": lambda: call("lstat", b"/proc/mounts", bytes(256)),
        "statx": lambda: call("statx", AT_FDCWD, victim, 0, 0xFFF, bytes(256)),
        "look at a file system": lambda: os.statvfs("/"),
        "statfs": lambda: call("statfs", victim, bytes(256)),
        "ask for access": lambda: call("faccessat", AT_FDCWD, victim, os.R_OK),
        "read the processor time of the worker": lambda: time.clock_gettime(clock),
        "see the clock of the worker": lambda: time.clock_getres(clock),
        "read the processors of the worker": lambda: call("sched_getaffinity", parent, 128, bytes(128)),
        "read the scheduler of the worker": lambda: call("sched_getscheduler", parent),
        "read the priority of the worker": lambda: call("getpriority", 0, parent),
        "read the I/O priority of the worker": lambda: call("ioprio_get", 1, parent),
        "read the group of the worker": lambda: call("getpgid", parent),
        "read the session of the worker": lambda: call("getsid", parent),
        "read the futexes of the worker": lambda: call("get_robust_list", parent, pages, pages),
        "move pages of the worker": lambda: call("move_pages", parent, 0, None, None, None, 0),
        "read the name of the machine": lambda: call("uname", bytes(512)),
        "see what is in the page cache": lambda: call("mincore", _ADDRESS, 4096, pages),
        "cachestat": lambda: with_descriptor(
            source, lambda number: call("cachestat", number, bytes(16), bytes(40), 0), os.O_RDONLY
        ),
    }


def memory(target: dict) -> Attempts:
    address = _ADDRESS
    private, anonymous = 0x02, 0x20
    flags = {
        "shared": 0x01 | anonymous,
        "growing down": 0x100 | private | anonymous,
        "locked": 0x2000 | private | anonymous,
        "filled in advance": 0x8000 | private | anonymous,
        "huge": 0x40000 | private | anonymous,
    }
    attempts: Attempts = {
        f"map {name} memory": lambda flag=flag: call("mmap", 0, 2 << 20, 3, flag, -1, 0)
        for name, flag in flags.items()
    }
    attempts |= {
        f"madvise {advice}": lambda advice=advice: call("madvise", address, 4096, advice)
        for advice in (0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25)
    }
    word, other = ctypes.create_string_buffer(4), ctypes.create_string_buffer(4)
    attempts |= {
        f"futex {name}": lambda operation=operation: call(
            "futex", word, operation, 1, ctypes.c_void_p(1), other, 0
        )
        for name, operation in {
            "FD": 2, "CMP_REQUEUE": 4, "WAKE_OP": 5, "LOCK_PI": 6, "UNLOCK_PI": 7, "TRYLOCK_PI": 8,
            "WAIT_REQUEUE_PI": 11, "CMP_REQUEUE_PI": 12, "LOCK_PI2": 13, "of no name": 99,
        }.items()
    }  # fmt: skip
    return attempts | {
        "map executable memory": lambda: call("mmap", 0, 4096, 7, private | anonymous, -1, 0),
        "map an executable file": lambda: with_descriptor(
            target["source"], lambda number: call("mmap", 0, 4096, 5, private, number, 0), os.O_RDONLY
        ),
        "map a shared file to write": lambda: with_descriptor(
            target["output"], lambda number: call("mmap", 0, 4096, 2, 1, number, 0)
        ),
        "make memory executable": lambda: call("mprotect", address, 4096, 5),
        "make memory grow down": lambda: call("mprotect", address, 4096, 0x01000003),
        "leave a mapping behind": lambda: call("mremap", address, 4096, 4096, 5, 0),
        "move memory over other memory": lambda: call("mremap", address, 4096, 4096, 3, address + 4096),
        "lock memory": lambda: call("mlock", address, 4096),
        "remap pages of a file": lambda: call("remap_file_pages", address, 4096, 0, 0, 0),
        "membarrier": lambda: call("membarrier", 0, 0, 0),
        "set a policy of memory": lambda: call("set_mempolicy", 0, None, 0),
        "a protection key": lambda: call("pkey_alloc", 0, 0),
        "wait for several futexes": lambda: call("futex_waitv", bytes(24), 0, 0, None, 0),
    }


def descriptors(target: dict) -> Attempts:
    source, output = target["source"], target["output"]

    def on_source(name: str, *arguments: object) -> None:
        with_descriptor(source, lambda number: call(name, number, *arguments), os.O_RDONLY)

    commands = {
        "F_SETFL": (4, os.O_NONBLOCK), "F_GETLK": (5, bytes(32)), "F_SETLK": (6, bytes(32)), "F_GETOWN": (9, 0),
        "F_GETSIG": (11, 0), "F_GETOWN_EX": (16, bytes(8)), "F_OFD_SETLK": (37, bytes(32)),
        "F_SETLEASE": (1024, 2), "F_GETLEASE": (1025, 0), "F_NOTIFY": (1026, 0), "F_SETPIPE_SZ": (1031, 4096),
        "F_GETPIPE_SZ": (1032, 0), "F_ADD_SEALS": (1033, 0), "F_GET_SEALS": (1034, 0),
        "F_GET_RW_HINT": (1035, bytes(8)), "F_SET_RW_HINT": (1036, bytes(8)),
    }  # fmt: skip
    attempts: Attempts = {
        f"fcntl {name}": lambda given=given: on_source("fcntl", *given) for name, given in commands.items()
    }
    requests = {
        "FIBMAP": 1, "FIGETBSZ": 2, "TIOCSTI": 0x5412, "FIONREAD": 0x541B, "FIONBIO": 0x5421,
        "TIOCGPTPEER": 0x5441, "FIOCLEX": 0x5451, "FIOASYNC": 0x5452, "FS_IOC_GETFLAGS": 0x80086601,
        "FS_IOC_FIEMAP": 0xC020660B, "FS_IOC_GETVERSION": 0x80087601, "FICLONE": 0x40049409,
    }  # fmt: skip
    attempts |= {
        f"ioctl {name}": lambda request=request: on_source("ioctl", request, bytes(64))
        for name, request in requests.items()
    }
    return attempts | {
        "F_DUPFD": lambda: os.close(call("fcntl", 0, 0, 3)),
        "F_DUPFD_CLOEXEC": lambda: os.close(call("fcntl", 0, 1030, 3)),
        "dup": lambda: os.close(call("dup", 0)),
        "descriptors of a thread's own": lambda: call("close_range", 1000, 1000, 2),
        "make a sparse file": lambda: with_descriptor(
            output, lambda number: os.ftruncate(number, target["output_bytes"] + 1)
        ),
        "advise on its own pages": lambda: on_source("fadvise64", 0, 0, 4),
        "read ahead": lambda: on_source("readahead", 0, 4096),
        "write to the disk at once": lambda: on_source("sync_file_range", 0, 0, 2),
        "splice": lambda: call("splice", 0, None, 1, None, 0, 0),
        "vmsplice": lambda: call("vmsplice", 1, None, 0, 0),
        "sendfile": lambda: call("sendfile", 1, 0, None, 0),
        "copy_file_range": lambda: call("copy_file_range", 0, None, 1, None, 0, 0),
        "write with flags": lambda: call("pwritev2", 1, None, 0, 0, 0, 0),
        "an event as a file": lambda: os.close(call("eventfd2", 0, 0)),
        "epoll": lambda: os.close(call("epoll_create1", 0)),
        "a timer as a file": lambda: os.close(call("timerfd_create", 1, 0)),
        "fanotify": lambda: os.close(call("fanotify_init", 0, 0)),
    }


def own_process(_target: dict) -> Attempts:
    """Properties of the process that no library changes; all are set to what they are."""
    options = {
        "PR_SET_DUMPABLE": (4, 1), "PR_GET_DUMPABLE": (3,), "PR_SET_KEEPCAPS": (8, 0), "PR_GET_NAME": (16, bytes(16)),
        "PR_GET_SECCOMP": (21,), "PR_CAPBSET_READ": (23, 0), "PR_SET_SECUREBITS": (28, 0),
        "PR_SET_TIMERSLACK": (29, 50_000), "PR_TASK_PERF_EVENTS_DISABLE": (31,), "PR_SET_MM": (35, 1, 0),
        "PR_SET_CHILD_SUBREAPER": (36, 0), "PR_SET_THP_DISABLE": (41, 0), "PR_CAP_AMBIENT": (47, 4),
        "PR_GET_SPECULATION_CTRL": (52, 0), "PR_SET_SYSCALL_USER_DISPATCH": (59, 0), "PR_SCHED_CORE": (62, 0, 0, 0),
        "PR_SET_VMA": (0x53564D41, 0, 0, 0), "PR_SET_PTRACER": (0x59616D61, 0),
    }  # fmt: skip
    attempts: Attempts = {
        f"prctl {name}": lambda given=given: call("prctl", *given, *(0,) * (5 - len(given)))
        for name, given in options.items()
    }
    return attempts | {
        "clone with a descriptor": lambda: _cloned(0x1000),
        "clone traced": lambda: _cloned(0x2000),
        "sleep by another clock": lambda: call("clock_nanosleep", 7, 0, bytes(16), None),
        "wake the machine up": lambda: call("clock_nanosleep", 8, 0, bytes(16), None),
        "drain random numbers": lambda: call("getrandom", ctypes.create_string_buffer(1), 1, 2),
        "take early random numbers": lambda: call("getrandom", ctypes.create_string_buffer(1), 1, 4),
        "handle a signal": lambda: call("rt_sigaction", int(signal.SIGURG), None, bytes(64), 8),
        "wait for descriptors": lambda: call("ppoll", None, 0, bytes(16), None, 8),
        "an alarm": lambda: call("setitimer", 0, bytes(32), None),
    }


def _cloned(flags: int) -> None:
    place = ctypes.create_string_buffer(4)
    process = call("clone", flags | int(signal.SIGCHLD), 0, place, 0, 0)
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)


GROUPS = (opening, looking, memory, descriptors, own_process)
