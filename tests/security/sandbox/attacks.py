"""Attacks of a compromised parser, run inside the sandboxed process. Every one must be refused.

Nothing here changes the machine if it succeeds: signals are ones that are ignored, names and limits are set to what
they are. Only the standard library is used, since this is imported before the confinement.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import struct
import threading
from collections.abc import Callable

from tests.security.sandbox.argument_attacks import GROUPS
from tests.security.sandbox.calls import AT_FDCWD, Attempts, call, opened, with_descriptor

WORKED = "WORKED"
REFUSALS = {errno.EPERM, errno.EACCES, errno.ENOSYS}
LIMITS = {errno.EMFILE, errno.EAGAIN, errno.ENOMEM, errno.EFBIG}

_HARMLESS = signal.SIGURG


def attack(target: dict) -> dict[str, str]:
    """Try everything against `target`; return what came of each attempt: WORKED, or the name of an error."""
    attempts: Attempts = {}
    for group in (
        reading,
        writing,
        scratch,
        network,
        processes,
        signals,
        others,
        kernel,
        own_rights,
        *GROUPS,
    ):
        attempts |= group(target)
    outcomes = {name: outcome(attempt, REFUSALS) for name, attempt in attempts.items()}
    limited = {name: outcome(attempt, LIMITS) for name, attempt in exhaustion(target).items()}
    return outcomes | limited


def outcome(attempt: Callable[[], object], refusals: set[int]) -> str:
    """Tell whether an attempt worked. An error that is no refusal counts: the call was let through."""
    try:
        attempt()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        return name if error.errno in refusals else f"{WORKED} so far as {name}"
    return WORKED


def reading(target: dict) -> Attempts:
    parent = f"/proc/{target['parent']}"
    paths = {f"read {name}": path for name, path in target["secrets"].items()}
    paths |= {
        f"read the worker's {name}": f"{parent}/{name}" for name in ("environ", "mem", "maps", "fd", "cwd")
    }
    paths |= {
        "read /etc/passwd": "/etc/passwd",
        "read its own memory as a file": "/proc/self/mem",
        "read its own environment as a file": "/proc/self/environ",
        "list the root": "/",
        "list the project": target["project"],
        "read a file of the project": f"{target['project']}/pyproject.toml",
        "read a device": "/dev/zero",
    }
    attempts: Attempts = {name: lambda path=path: opened(path) for name, path in paths.items()}
    return attempts | {
        "follow the worker's folder": lambda: os.readlink(f"{parent}/cwd"),
        "find a secret in its environment": lambda: found_in_environment(target["secret"]),
        "find a secret among its descriptors": lambda: found_in_descriptors(target["inherited"]),
        "open by openat2": lambda: call("openat2", AT_FDCWD, b"/etc/passwd", struct.pack("=3Q", 0, 0, 0), 24),
        "make a handle of a file": lambda: call(
            "name_to_handle_at", AT_FDCWD, b"/etc", struct.pack("=Ii", 0, 0), ctypes.c_int(), 0
        ),
    }


def found_in_environment(secret: str) -> None:
    if not any(secret in value for value in os.environ.values()):
        raise PermissionError(errno.EACCES, "not there")


def found_in_descriptors(inherited: list[int]) -> None:
    for number in range(3, 256):
        try:
            facts = os.fstat(number)
        except OSError:
            continue
        if [facts.st_dev, facts.st_ino] == inherited:
            return
    raise PermissionError(errno.EACCES, "not there")


def writing(target: dict) -> Attempts:
    victim, folder = target["victim"], target["outside"]
    name = os.fsencode(victim)
    return {
        "write a foreign file": lambda: opened(victim, os.O_WRONLY),
        "truncate by opening to read": lambda: opened(victim, os.O_RDONLY | os.O_TRUNC),
        "truncate by opening to write": lambda: opened(victim, os.O_WRONLY | os.O_TRUNC),
        "truncate": lambda: call("truncate", name, 4),
        "create a foreign file": lambda: opened(f"{folder}/new", os.O_WRONLY | os.O_CREAT),
        "chmod": lambda: os.chmod(victim, 0o666),
        "chown": lambda: os.chown(victim, -1, -1),
        "set an attribute": lambda: os.setxattr(victim, "user.hostile", b"1"),
        "set a time": lambda: call("utimensat", AT_FDCWD, name, None, 0),
        "rename": lambda: os.rename(victim, victim),
        "link": lambda: os.link(victim, f"{folder}/linked"),
        "symlink": lambda: os.symlink(victim, f"{folder}/symlinked"),
        "unlink": lambda: os.unlink(f"{folder}/none-of-this-name"),
        "mkdir": lambda: os.mkdir(f"{folder}/made"),
        "mknod": lambda: os.mknod(f"{folder}/fifo", 0o600 | 0o010000),
    }


def scratch(target: dict) -> Attempts:
    output, source = target["output"], target["source"]
    folder = os.path.dirname(output)
    return {
        "create a file in the workspace": lambda: opened(f"{folder}/new", os.O_WRONLY | os.O_CREAT),
        "create a file in the scratch folder": lambda: opened("new", os.O_WRONLY | os.O_CREAT),
        "create a file without a name": lambda: opened(folder, os.O_RDWR | os.O_TMPFILE),
        "leave a symbolic link": lambda: os.symlink(target["victim"], f"{folder}/symlink"),
        "leave a hard link": lambda: os.link(output, f"{folder}/link"),
        "leave a FIFO": lambda: os.mkfifo(f"{folder}/fifo"),
        "leave a device": lambda: os.mknod(f"{folder}/device", 0o600 | 0o020000, os.makedev(1, 3)),
        "leave a folder": lambda: os.mkdir(f"{folder}/folder"),
        "replace its output": lambda: os.rename(output, output),
        "remove a file": lambda: os.unlink(f"{folder}/none-of-this-name"),
        "let others read its output": lambda: os.chmod(output, 0o666),
        "change its source": lambda: opened(source, os.O_WRONLY),
        "list the scratch folder": lambda: os.listdir("."),
        "reserve space": lambda: with_descriptor(output, lambda number: call("fallocate", number, 0, 0, 1)),
        "lock the scratch folder": lambda: call("flock", 1, 2),
    }


def network(target: dict) -> Attempts:
    families = {
        "TCP": (2, 1),
        "UDP": (2, 2),
        "TCP over IPv6": (10, 1),
        "unix": (1, 1),
        "netlink": (16, 3),
        "vsock": (40, 1),
    }
    attempts: Attempts = {
        f"open a socket of {name}": lambda pair=pair: socket.socket(*pair).close()
        for name, pair in families.items()
    }
    return attempts | {
        "connect to a port": lambda: socket.socket().connect(("127.0.0.1", target["port"])),
        "make a pair of sockets": lambda: [each.close() for each in socket.socketpair()],
        "send descriptors through standard input": lambda: call("sendmsg", 0, bytes(56), 0),
        "io_uring": lambda: os.close(call("io_uring_setup", 1, bytes(120))),
        "a pipe": lambda: call("pipe2", bytes(8), 0),
    }


def processes(_target: dict) -> Attempts:
    def forked(*how: object) -> None:
        process = call(*how)
        if process == 0:
            os._exit(0)
        os.waitpid(process, 0)

    arguments = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    return {
        "fork": lambda: forked("fork"),
        "clone a process": lambda: forked("clone", int(signal.SIGCHLD), 0, 0, 0, 0),
        "clone3 a process": lambda: forked("clone3", arguments, 88),
        "clone into namespaces": lambda: forked("clone", 0x10000000 | int(signal.SIGCHLD), 0, 0, 0, 0),
        # Of a program that is not there: one that is would take this one's place.
        "execute": lambda: os.execv("/nowhere", ["nowhere"]),
        "execute a descriptor": lambda: call("execveat", AT_FDCWD, b"/nowhere", None, None, 0),
    }


def signals(target: dict) -> Attempts:
    victim, parent = target["victim_process"], target["parent"]
    # A siginfo_t: the signal, no error, and the code of a queued signal.
    told = struct.pack("=3i", _HARMLESS, 0, -1) + bytes(116)
    owner = struct.pack("=2i", 1, victim)
    return {
        "kill": lambda: os.kill(victim, _HARMLESS),
        "kill the worker": lambda: os.kill(parent, 0),
        "kill its group": lambda: os.kill(0, 0),
        "tkill": lambda: call("tkill", victim, int(_HARMLESS)),
        "tgkill": lambda: call("tgkill", victim, victim, int(_HARMLESS)),
        "rt_sigqueueinfo": lambda: call("rt_sigqueueinfo", victim, int(_HARMLESS), told),
        "rt_tgsigqueueinfo": lambda: call("rt_tgsigqueueinfo", victim, victim, int(_HARMLESS), told),
        "pidfd_open": lambda: os.close(call("pidfd_open", victim, 0)),
        "pidfd_send_signal": lambda: call("pidfd_send_signal", 0, int(_HARMLESS), None, 0),
        "F_SETOWN": lambda: call("fcntl", 0, 8, victim),
        "F_SETOWN_EX": lambda: call("fcntl", 0, 15, owner),
        "F_SETSIG": lambda: call("fcntl", 0, 10, int(_HARMLESS)),
        "FIOSETOWN": lambda: call("ioctl", 0, 0x8901, struct.pack("=i", victim)),
        "a timer": lambda: call("timer_create", 1, None, ctypes.byref(ctypes.c_int())),
        "signals as a file": lambda: call("signalfd4", -1, bytes(8), 8, 0),
    }


def others(target: dict) -> Attempts:
    victim, parent = target["victim_process"], target["parent"]
    place = ctypes.create_string_buffer(64)
    local = struct.pack("=2Q", ctypes.addressof(place), 8)
    limits = ctypes.create_string_buffer(16)
    return {
        "ptrace": lambda: call("ptrace", 0x4206, victim, 0, 0),
        "process_vm_readv": lambda: call("process_vm_readv", victim, local, 1, local, 1, 0),
        "process_vm_writev": lambda: call("process_vm_writev", victim, local, 1, local, 1, 0),
        "kcmp": lambda: call("kcmp", victim, victim, 0, 0, 0),
        "read limits of a process": lambda: call("prlimit64", victim, 7, None, limits),
        "read limits of the worker": lambda: call("prlimit64", parent, 7, None, limits),
        "setpriority": lambda: call("setpriority", 0, victim, 19),
        "setpriority of the worker": lambda: call("setpriority", 0, parent, 19),
        "sched_setscheduler": lambda: call("sched_setscheduler", victim, 0, struct.pack("=i", 0)),
        "sched_setaffinity": lambda: call("sched_setaffinity", victim, 8, b"\xff" * 8),
        "ioprio_set": lambda: call("ioprio_set", 1, victim, 2 << 13 | 4),
        "process_madvise": lambda: call("process_madvise", 0, local, 1, 3, 0),
        "pidfd_getfd": lambda: call("pidfd_getfd", 0, 0, 0),
    }


def kernel(target: dict) -> Attempts:
    host, folder = target["host"].encode(), os.fsencode(os.path.dirname(target["output"]))
    return {
        "sethostname": lambda: call("sethostname", host, len(host)),
        "settimeofday": lambda: call("settimeofday", None, None),
        "adjtimex": lambda: call("adjtimex", bytes(256)),
        "shared memory": lambda: call("shmget", 0, 4096, 0o600),
        "semaphores": lambda: call("semget", 0, 1, 0o600),
        "a message queue": lambda: call("msgget", 0, 0o600),
        "a POSIX message queue": lambda: call("mq_open", b"tulou-hostile", os.O_RDONLY, 0, None),
        "memfd_create": lambda: os.close(call("memfd_create", b"x", 0)),
        "userfaultfd": lambda: os.close(call("userfaultfd", 1)),
        "bpf": lambda: call("bpf", 0, struct.pack("=4I", 2, 4, 4, 1) + bytes(112), 128),
        "perf_event_open": lambda: call("perf_event_open", bytes(112), 0, -1, -1, 0),
        "keyctl": lambda: call("keyctl", 0, -3, 0),
        "add_key": lambda: call("add_key", b"user", b"tulou", b"x", 1, -3),
        "unshare the network": lambda: call("unshare", 0x40000000),
        "unshare the users": lambda: call("unshare", 0x10000000),
        "mount": lambda: call("mount", b"none", folder, b"tmpfs", 0, None),
        "fsopen": lambda: os.close(call("fsopen", b"tmpfs", 0)),
        "chroot": lambda: os.chroot("."),
        "personality": lambda: call("personality", 0xFFFFFFFF),
        "inotify": lambda: os.close(call("inotify_init1", 0)),
        "load a module": lambda: call("init_module", None, 0, b""),
    }


def own_rights(_target: dict) -> Attempts:
    def is_root() -> None:
        if 0 not in {os.getuid(), os.geteuid(), os.getgid(), os.getegid()}:
            raise PermissionError(errno.EACCES, "not root")

    def raised(which: int) -> None:
        call("prlimit64", 0, which, struct.pack("=2q", -1, -1), None)

    return {
        "be root": is_root,
        "become root": lambda: call("setresuid", 0, 0, 0),
        "gain capabilities": lambda: call("capset", struct.pack("=Ii", 0x20080522, 0), b"\xff" * 24),
        "outlive the worker": lambda: call("prctl", 1, 0, 0, 0, 0),
        "change its filter": lambda: call("seccomp", 1, 0, None),
        "raise its memory": lambda: raised(resource.RLIMIT_AS),
        "raise the size of files": lambda: raised(resource.RLIMIT_FSIZE),
        "poison memory": lambda: call("madvise", 0, 0, 100),
    }


def exhaustion(target: dict) -> Attempts:
    """Go past each limit by little."""

    def descriptors() -> None:
        held: list[int] = []
        try:
            while len(held) < 200:
                held.append(os.open(target["source"], os.O_RDONLY))
        finally:
            for number in held:
                os.close(number)

    def threads() -> None:
        enough = threading.Event()
        try:
            for _ in range(target["threads"] + 20):
                threading.Thread(target=enough.wait, daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error)) from error
        finally:
            enough.set()

    too_much = target["output_bytes"] + 1
    return {
        "exhaust memory": lambda: mmap.mmap(-1, 8 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close(),
        "exhaust descriptors": descriptors,
        "exhaust threads": threads,
        "write a huge file": lambda: with_descriptor(
            target["output"], lambda number: os.pwrite(number, b"x", too_much)
        ),
    }
