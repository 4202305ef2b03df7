"""The seccomp filter, executed by an interpreter of its instructions, for this architecture and others."""

import re
import struct
from pathlib import Path

import pytest

from domains.files.gateway import confinement, linux, seccomp
from domains.files.gateway.seccomp import ALLOW, ENOSYS, EPERM, KILL_PROCESS
from domains.files.gateway.system_calls import ALLOWED, ALLOWED_BY_ARGUMENT, ARCHITECTURES, REFUSED

MACHINES = list(ARCHITECTURES)
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}
ALL = ALLOWED | ALLOWED_BY_ARGUMENT | REFUSED
HIGH = 1 << 32
"""A bit in the upper half of an argument."""


def number_of(machine: str, name: str) -> int | None:
    return ALL[name][MACHINES.index(machine)]


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Run the filter as the kernel would on `struct seccomp_data`."""
    program = seccomp.filter_program(machine)
    given = (*arguments, *(0,) * 6)[:6]
    call = struct.pack("=IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *given)
    position, register = 0, 0
    while True:
        kind, then, otherwise, value = struct.unpack_from("=HBBI", program, position * 8)
        position += 1
        if kind == 0x20:
            (register,) = struct.unpack_from("=I", call, value)
        elif kind == 0x54:
            register &= value
        elif kind == 0x06:
            return value
        else:
            holds = {0x15: register == value, 0x35: register >= value}[kind]
            position += then if holds else otherwise


def of(machine: str, name: str, *arguments: int) -> int:
    number = number_of(machine, name)
    return ENOSYS if number is None else verdict(machine, number, *arguments)


def every(names: dict) -> list[tuple[str, str]]:
    return [(machine, name) for machine in MACHINES for name in names if number_of(machine, name) is not None]


@pytest.mark.parametrize(("machine", "name"), every(ALLOWED))
def test_what_a_decoder_needs_is_allowed(machine, name):
    assert of(machine, name) == ALLOW


@pytest.mark.parametrize(("machine", "name"), every(REFUSED))
def test_what_is_dangerous_is_refused(machine, name):
    assert of(machine, name) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_all_other_calls_do_not_exist(machine):
    known = {number_of(machine, name) for name in ALL}
    unknown = [number for number in range(600) if number not in known]
    assert {verdict(machine, number) for number in unknown} == {ENOSYS}
    assert (
        verdict(machine, 435) == ENOSYS
    )  # clone3: the C library falls back to clone, whose flags can be read


GLIBC_THREAD, MUSL_THREAD = 0x3D0F00, 0x7D0F00
FORK, VFORK, NEW_USER_NAMESPACE = 17, 0x4111, 0x10000000


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("clone", (GLIBC_THREAD,), True),
        ("clone", (MUSL_THREAD,), True),
        ("clone", (FORK,), False),
        ("clone", (VFORK,), False),
        ("clone", (GLIBC_THREAD | FORK,), False),
        ("clone", (GLIBC_THREAD | NEW_USER_NAMESPACE,), False),
        ("clone", (GLIBC_THREAD & ~0x10000,), False),
        ("prlimit64", (0, 7, 0), True),
        ("prlimit64", (0, 7, 4096), False),
        ("prlimit64", (0, 7, HIGH), False),
        ("prlimit64", (1, 7, 0), False),
        ("prctl", (15,), True),
        ("prctl", (HIGH | 15,), True),
        ("prctl", (1,), False),
        ("fcntl", (5, 8), False),
        ("fcntl", (5, 10), False),
        ("fcntl", (5, HIGH | 8), False),
        ("madvise", (0, 0, 4), True),
        ("madvise", (0, 0, 100), False),
        ("madvise", (0, 0, 12), False),
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),
        ("ioctl", (0, 0x8901), False),
        ("prctl", (16,), False),
        ("prctl", (22,), False),
        ("fcntl", (5, 3), True),
        ("fcntl", (5, 4), False),
        ("fcntl", (5, 1030), False),
        ("newfstatat", (0, 0, 0, 0), True),
        ("newfstatat", (0, 0, 0, 0x1000), True),
        ("newfstatat", (0, 0, 0, 0x100), False),
        ("mmap", (0, 1, 0, 0x4022), True),
        ("mmap", (0, 1, 3, 0x20022), True),
        ("mmap", (0, 1, 3, 0x32), True),
        ("mmap", (0, 1, 1, 0x1), True),
        ("mmap", (0, 1, HIGH | 3, HIGH | 0x22), True),
        ("mmap", (0, 1, 5, 0x2), False),
        ("mmap", (0, 1, HIGH | 7, 0x22), False),
        ("mmap", (0, 1, 3, 0x1), False),
        ("mmap", (0, 1, 1, 0x21), False),
        ("mmap", (0, 1, 3, 0x40022), False),
        ("mmap", (0, 1, 3, 0x20), False),
        ("mprotect", (0, 1, 3), True),
        ("mprotect", (0, 1, 4), False),
        ("mprotect", (0, 1, 0x01000003), False),
        ("mremap", (0, 1, 1, 1), True),
        ("mremap", (0, 1, 1, 3), False),
        ("mremap", (0, 1, 1, 5), False),
        ("futex", (0, 0x109), True),
        ("futex", (0, 0x189), True),
        ("futex", (0, 0x81), True),
        ("futex", (0, 0x83), True),
        ("futex", (0, 0x84), False),
        ("futex", (0, 0x86), False),
        ("futex", (0, 0x8B), False),
        ("clock_gettime", (2,), True),
        ("clock_gettime", (7,), True),
        ("clock_gettime", (8,), False),
        ("clock_gettime", (0xFFFF_FF02,), False),
        ("clock_getres", (0xFFFF_FF02,), False),
        ("clock_nanosleep", (1,), True),
        ("clock_nanosleep", (7,), False),
        ("clock_nanosleep", (0xFFFF_FF02,), False),
        ("getrandom", (0, 1, 1), True),
        ("getrandom", (0, 1, 2), False),
        ("ioctl", (0, 0x5451), False),
    ],
)
def test_some_calls_are_allowed_by_their_arguments(machine, name, arguments, allowed):
    if number_of(machine, name) is not None:
        assert of(machine, name, *arguments) == (ALLOW if allowed else EPERM)


O_DIRECTORY, O_LARGEFILE = (
    {"x86_64": 0o200000, "aarch64": 0o40000},
    {"x86_64": 0o100000, "aarch64": 0o400000},
)
O_PATH, O_UNNAMED, O_CLOEXEC = 0o10000000, 0o20000000, 0o2000000


def openings(machine: str) -> set[int]:
    """All flags with which a file may be opened."""
    read = {0, O_DIRECTORY[machine], O_DIRECTORY[machine] | 0o4000}
    write = {1, 0o101, 0o1001, 0o1101}
    free = {0, O_CLOEXEC, O_LARGEFILE[machine], O_CLOEXEC | O_LARGEFILE[machine]}
    return {flags | more for flags in read | write for more in free}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "place"), [("open", 1), ("openat", 2)])
def test_files_are_opened_with_few_flags_and_no_others(machine, name, place):
    if number_of(machine, name) is None:
        pytest.skip("not a call of this architecture")
    allowed = openings(machine)
    tried = {flags ^ (1 << bit) for flags in allowed for bit in range(32)} | allowed | {3, 3 | O_PATH}
    tried |= {O_PATH, O_PATH | O_CLOEXEC, O_UNNAMED | O_DIRECTORY[machine] | 1, 0o1000, 2, 0o1102}
    passed = {flags for flags in tried if of(machine, name, *(0,) * place, flags) == ALLOW}
    assert passed == allowed
    assert of(machine, name, *(0,) * place, HIGH | 3) == EPERM


def test_calls_of_another_architecture_end_the_process():
    assert verdict("x86_64", 0, architecture=0x40000003) == KILL_PROCESS
    assert verdict("x86_64", 0x40000000) == KILL_PROCESS
    assert verdict("aarch64", 63, architecture=ARCHITECTURES["x86_64"]) == KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(machine):
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip("the headers of the kernel are not installed")
    found = dict(re.findall(r"#define (__NR3264_\w+|__NR_\w+)\s+(\d+)", header.read_text()))
    other_names = {"newfstatat": "fstatat", "getrlimit": "getrlimit"} if machine == "aarch64" else {}
    for name in ALL:
        said = other_names.get(name, name)
        number = found.get(f"__NR_{said}") or found.get(f"__NR3264_{said}")
        assert number_of(machine, name) == (None if number is None else int(number)), name


def test_an_unknown_architecture_is_refused_loudly(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(linux.ConfinementUnavailableError, match="vax"):
        seccomp.filter_all_threads()


def test_a_system_without_prctl_is_refused_loudly(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda *_args, **_options: object())
    with pytest.raises(linux.ConfinementUnavailableError, match="Linux"):
        linux.prctl(1)


def test_a_process_with_two_threads_is_not_confined(monkeypatch):
    monkeypatch.setattr(Path, "iterdir", lambda _folder: iter(["1", "2"]))
    with pytest.raises(linux.ConfinementUnavailableError, match="2 threads"):
        confinement._require_one_thread()


def test_a_user_with_too_many_threads_is_told_which_setting_to_raise(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(confinement, "_permitted_attempts", list)
    monkeypatch.setattr("threading.Thread.start", refuse)
    with pytest.raises(linux.ConfinementUnavailableError, match="TULOU_FILES_SANDBOX_THREADS"):
        confinement._require_refusals(64)
