"""The seccomp filter, run by an interpreter of its instructions: for this machine's architecture and for others."""

import struct

import pytest

from domains.files.gateway import confinement

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS = 0x00050001, 0x00050026
ARCHITECTURES = confinement._ARCHITECTURES


def verdict(machine: str, number: int, *, architecture: int | None = None, first_argument: int = 0) -> int:
    """Run the filter as the kernel would on `struct seccomp_data`."""
    code, numbers = ARCHITECTURES[machine]
    program = confinement._filter_program(code, numbers)
    call = struct.pack("=IIQQ", number, architecture or code, 0, first_argument)
    position, register = 0, 0
    while True:
        kind, then, otherwise, value = struct.unpack_from("=HBBI", program, position * 8)
        position += 1
        if kind == 0x20:
            (register,) = struct.unpack_from("=I", call, value)
        elif kind == 0x06:
            return value
        else:
            holds = {0x15: register == value, 0x35: register >= value, 0x45: bool(register & value)}[kind]
            position += then if holds else otherwise


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
def test_network_programs_and_signals_are_refused(machine):
    numbers = ARCHITECTURES[machine][1]
    for name in set(numbers) - {"clone", "clone3"}:
        assert verdict(machine, numbers[name]) == EPERM, name
    for newer in (424, 425, 427, 434, 438, 442):
        assert verdict(machine, newer) == EPERM


@pytest.mark.parametrize(("machine", "reading"), [("x86_64", 0), ("aarch64", 63)])
def test_reading_writing_and_memory_are_allowed(machine, reading):
    for number in (reading, reading + 1, 9 if machine == "x86_64" else 222):
        assert verdict(machine, number) == ALLOW


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
def test_threads_are_allowed_and_processes_are_not(machine):
    numbers = ARCHITECTURES[machine][1]
    assert verdict(machine, numbers["clone"], first_argument=0x00010000) == ALLOW
    assert verdict(machine, numbers["clone"], first_argument=17) == EPERM
    assert verdict(machine, numbers["clone3"]) == ENOSYS


def test_calls_of_another_architecture_end_the_process():
    assert verdict("x86_64", 0, architecture=0x40000003) == KILL
    assert verdict("x86_64", 0x40000000 + 41) == EPERM


def test_an_unknown_architecture_is_refused_loudly(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(confinement.ConfinementUnavailableError, match="vax"):
        confinement.deny_network_and_processes()


def test_a_system_without_prctl_is_refused_loudly(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda *_args, **_options: object())
    with pytest.raises(confinement.ConfinementUnavailableError, match="Linux"):
        confinement.die_with_parent()
