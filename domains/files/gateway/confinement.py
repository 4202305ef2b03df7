"""What a process that reads untrusted files gives up before it reads the first byte.

Used by the renderer's process alone. Nothing here can be taken back by the process that called it.
"""

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_SIGKILL = 9

_RETURN_ALLOW = 0x7FFF0000
_RETURN_ERRNO = 0x00050000
_RETURN_KILL = 0x80000000
_EPERM = 1
_ENOSYS = 38
_CLONE_THREAD = 0x00010000
_X32_CALLS = 0x40000000

# By architecture: AUDIT_ARCH, then the numbers of the calls (linux/audit.h, asm/unistd.h).
_ARCHITECTURES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
            "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101,
            "personality": 135, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166, "reboot": 169,
            "init_module": 175, "delete_module": 176, "tkill": 200, "tgkill": 234, "kexec_load": 246,
            "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "accept4": 288,
            "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
            "kcmp": 312, "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321,
            "execveat": 322, "userfaultfd": 323, "clone3": 435,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "personality": 92, "unshare": 97,
            "kexec_load": 104, "init_module": 105, "delete_module": 106, "ptrace": 117, "kill": 129,
            "tkill": 130, "tgkill": 131, "reboot": 142, "socket": 198, "socketpair": 199, "bind": 200,
            "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "sendmsg": 211, "add_key": 217,
            "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221, "perf_event_open": 241,
            "accept4": 242, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
            "finit_module": 273, "memfd_create": 279, "bpf": 280, "execveat": 281, "userfaultfd": 282,
            "kexec_file_load": 294, "clone3": 435,
        },
    ),
}  # fmt: skip
# Everywhere the same: pidfd_send_signal, io_uring_*, open_tree to pidfd_open, pidfd_getfd, mount_setattr.
_NEWER_CALLS = (*range(424, 435), 438, 442)

_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_RULE_PATH_BENEATH = 1
_LANDLOCK_ALL = (1 << 13) - 1
_LANDLOCK_READ = 1 << 2 | 1 << 3


class ConfinementUnavailableError(RuntimeError):
    """This machine can't take away what an untrusted parser must not have."""


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def limit_resources(*, memory_bytes: int, output_bytes: int, open_files: int = 64) -> None:
    """Bound the address space, the size of a written file and the open files, for good."""
    for limit, bound in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (bound, bound))


def grant_cpu_seconds(seconds: int) -> None:
    """Allow this many seconds of processor time from now on; past it the kernel ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, hard))


def deny_network_and_processes() -> None:
    """Refuse, by a seccomp filter, sockets, new programs and processes, signals and kernel interfaces.

    Threads stay possible. Raises ConfinementUnavailableError where the kernel or the architecture has no filter.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        message = f"no seccomp filter is known for the architecture {machine!r}"
        raise ConfinementUnavailableError(message)
    program = _filter_program(*_ARCHITECTURES[machine])
    buffer = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    wanted = Program(len(program) // 8, ctypes.addressof(buffer))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(wanted))


def restrict_paths(*, writable: Path, readable: Iterable[Path] = ()) -> bool:
    """Leave this process one folder to write and a few to read (Landlock). Return False where the kernel has none.

    A process can read what its user can read, its parent's secrets among it: this takes that away.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handled = struct.pack("=Q", _LANDLOCK_ALL)
    ruleset = libc.syscall(_LANDLOCK_CREATE, handled, ctypes.c_size_t(len(handled)), 0)
    if ruleset < 0:
        return False
    _allow_path(libc, ruleset, writable, _LANDLOCK_ALL)
    for path in readable:
        _allow_path(libc, ruleset, path, _LANDLOCK_READ)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    restricted: bool = libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return restricted


def _allow_path(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> None:
    if not path.exists():
        return
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = struct.pack("=Qi", access, folder)
    libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
    os.close(folder)


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):
        message = "this system has no prctl: only Linux can confine a process so"
        raise ConfinementUnavailableError(message)
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        message = f"prctl({option}) was refused: {os.strerror(ctypes.get_errno())}"
        raise ConfinementUnavailableError(message)


def _filter_program(architecture: int, numbers: dict[str, int]) -> bytes:
    """Return the BPF program (linux/filter.h) as packed instructions of 8 bytes."""
    denied = sorted({*numbers.values(), *_NEWER_CALLS} - {numbers["clone"], numbers["clone3"]})
    program = [
        _load(4),
        _jump_if_equal(architecture, then=1, otherwise=0),
        _return(_RETURN_KILL),
        _load(0),
        _jump_if_at_least(_X32_CALLS, then=0, otherwise=1),
        _return(_RETURN_ERRNO | _EPERM),
        # glibc falls back to clone, whose flags a filter can read.
        _jump_if_equal(numbers["clone3"], then=0, otherwise=1),
        _return(_RETURN_ERRNO | _ENOSYS),
        _jump_if_equal(numbers["clone"], then=0, otherwise=4),
        _load(16),
        _jump_if_set(_CLONE_THREAD, then=0, otherwise=1),
        _return(_RETURN_ALLOW),
        _return(_RETURN_ERRNO | _EPERM),
    ]
    for number in denied:
        program += [_jump_if_equal(number, then=0, otherwise=1), _return(_RETURN_ERRNO | _EPERM)]
    return b"".join([*program, _return(_RETURN_ALLOW)])


def _instruction(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _load(offset: int) -> bytes:
    return _instruction(0x20, offset)


def _jump_if_equal(value: int, *, then: int, otherwise: int) -> bytes:
    return _instruction(0x15, value, then=then, otherwise=otherwise)


def _jump_if_at_least(value: int, *, then: int, otherwise: int) -> bytes:
    return _instruction(0x35, value, then=then, otherwise=otherwise)


def _jump_if_set(value: int, *, then: int, otherwise: int) -> bytes:
    return _instruction(0x45, value, then=then, otherwise=otherwise)


def _return(action: int) -> bytes:
    return _instruction(0x06, action)
