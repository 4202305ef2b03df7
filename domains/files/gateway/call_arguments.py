"""Allowed arguments of system calls that could do more than decoders need.

The list was measured with strace(1) while files of every type were opened; the calls that other versions of glibc and
musl use instead were added. A filter can't follow pointers, so paths are not checked here.
"""

from dataclasses import dataclass

_INT = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Masked:
    """A condition: the argument of this index, from 0, has the value `value` in the bits of `mask`."""

    argument: int
    mask: int
    value: int


Alternatives = tuple[tuple[Masked, ...], ...]
"""A call is allowed if all conditions of one alternative hold."""


def _one_of(argument: int, *values: int) -> Alternatives:
    return tuple((_value(argument, each),) for each in values)


def _value(argument: int, value: int, *, free: int = 0) -> Masked:
    """Require this value of an int, except for the bits in `free`. The kernel ignores the upper half."""
    return Masked(argument, _INT & ~free, value)


_WRITE_ONLY, _CREATE, _TRUNCATE, _NONBLOCK, _CLOSE_ON_EXEC = 0o1, 0o100, 0o1000, 0o4000, 0o2000000
_LARGE_FILE = {"x86_64": 0o100000, "aarch64": 0o400000}
_DIRECTORY = {"x86_64": 0o200000, "aarch64": 0o40000}


def _opening(flags: int, machine: str) -> Alternatives:
    """Allow to read a file, to list a folder as opendir(3) does, and to write an existing file.

    Landlock decides which ones, by the access mode. It requires no right for mode 3 (neither reading nor writing) or
    O_PATH, and old versions don't know O_TRUNC. O_CREAT is set by the write modes of C and Python.
    """
    always = _CLOSE_ON_EXEC | _LARGE_FILE[machine]
    return (
        (_value(flags, 0, free=always),),
        (_value(flags, _DIRECTORY[machine], free=always | _NONBLOCK),),
        (_value(flags, _WRITE_ONLY, free=always | _CREATE | _TRUNCATE),),
    )


# CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, DETACHED and CHILD_CLEARTID: the flags of a
# thread, as glibc and musl set them. No other flag, and no exit signal; VM and THREAD are required.
_CLONE_OF_THREADS, _CLONE_REQUIRED = 0x007D0F00, 0x00010100
_READ, _READ_AND_WRITE = 0x1, 0x3
_SHARED, _PRIVATE = 0x01, 0x02
# MAP_FIXED, ANONYMOUS, NORESERVE and STACK
_PRIVATE_FLAGS = 0x10 | 0x20 | 0x4000 | 0x20000
# FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME
_FUTEX_FLAGS = 0x80 | 0x100


def rules(machine: str) -> dict[str, Alternatives]:
    """Return what is allowed of each call of `system_calls.ALLOWED_BY_ARGUMENT`."""
    return {
        "open": _opening(1, machine),
        "openat": _opening(2, machine),
        # Following links, or AT_EMPTY_PATH, with which C libraries look at a descriptor.
        "newfstatat": _one_of(3, 0, 0x1000),
        "clone": ((_value(0, _CLONE_REQUIRED, free=_CLONE_OF_THREADS & ~_CLONE_REQUIRED),),),
        # No memory is executable that was not when the filter began. Shared memory is that of a file, for reading.
        "mmap": (
            (_value(2, 0, free=_READ_AND_WRITE), _value(3, _PRIVATE, free=_PRIVATE_FLAGS)),
            (_value(2, 0, free=_READ), _value(3, _SHARED)),
        ),
        "mprotect": ((_value(2, 0, free=_READ_AND_WRITE),),),
        # MREMAP_MAYMOVE
        "mremap": _one_of(3, 0, 1),
        # MADV_DONTNEED, FREE, GUARD_INSTALL and GUARD_REMOVE, with which newer C libraries guard the stacks of threads
        "madvise": _one_of(2, 4, 8, 102, 103),
        # FUTEX_WAIT, WAKE, REQUEUE, WAIT_BITSET, WAKE_BITSET: none that passes priorities on
        "futex": tuple((_value(1, each, free=_FUTEX_FLAGS),) for each in (0, 1, 3, 9, 10)),
        # Of this process, reading only.
        "prlimit64": ((_value(0, 0), Masked(2, _LONG, 0)),),
        # PR_SET_NAME, of a thread
        "prctl": _one_of(0, 15),
        # F_GETFD, F_SETFD, F_GETFL
        "fcntl": _one_of(1, 1, 2, 3),
        # TCGETS, with which C libraries and Python test for a terminal
        "ioctl": _one_of(1, 0x5401),
        # The clocks of the machine, this process and this thread. Negative ones are the clocks of other processes.
        "clock_gettime": ((_value(0, 0, free=0x7),),),
        "clock_getres": ((_value(0, 0, free=0x7),),),
        # CLOCK_REALTIME, MONOTONIC
        "clock_nanosleep": _one_of(0, 0, 1),
        # GRND_NONBLOCK
        "getrandom": _one_of(2, 0, 1),
    }
