"""A seccomp filter that allows the system calls of decoders only.

See seccomp(2) and Documentation/userspace-api/seccomp_filter.rst of the kernel.
"""

import ctypes
import errno
import platform
import struct

from domains.files.gateway import linux
from domains.files.gateway.call_arguments import Alternatives, Masked, rules
from domains.files.gateway.linux import ConfinementUnavailableError
from domains.files.gateway.system_calls import ALLOWED, ALLOWED_BY_ARGUMENT, ARCHITECTURES, REFUSED

_SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
EPERM = 0x00050000 | errno.EPERM
ENOSYS = 0x00050000 | errno.ENOSYS
_X32_CALLS = 0x40000000
_INT = 0xFFFFFFFF


def filter_all_threads() -> None:
    """Apply the filter to every thread of this process, and to all that they start.

    Requires `no_new_privs`. Raises ConfinementUnavailableError.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        message = (
            f"There is no list of system calls for the architecture {machine!r}."
            " Run the workers of the queue `files` on x86_64 or aarch64."
        )
        raise ConfinementUnavailableError(message)
    program = filter_program(machine)
    buffer = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program_header = Program(len(program) // 8, ctypes.addressof(buffer))
    try:
        unsynced_thread = linux.call(
            _SECCOMP_CALL[machine], _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program_header)
        )
    except OSError as error:
        message = (
            f"seccomp refuses a filter ({error.strerror}). Use a kernel with CONFIG_SECCOMP_FILTER, and a container"
            " profile that allows seccomp(2)."
        )
        raise ConfinementUnavailableError(message) from error
    if unsynced_thread:
        message = f"seccomp could not confine the thread {unsynced_thread}."
        raise ConfinementUnavailableError(message)


def filter_program(machine: str) -> bytes:
    """Return the BPF program (linux/filter.h) of an architecture, as instructions of 8 bytes."""
    column = list(ARCHITECTURES).index(machine)
    program = [
        *_unless_equal(_load(4), ARCHITECTURES[machine], _return(KILL_PROCESS)),
        _load(0),
        *((_jump(0x35, _X32_CALLS, 0, 1), _return(KILL_PROCESS)) if machine == "x86_64" else ()),
    ]
    for name, numbers in ALLOWED.items():
        program += _on_call(numbers[column], [_return(ALLOW)], name)
    allowed = rules(machine)
    for name, numbers in ALLOWED_BY_ARGUMENT.items():
        program += _on_call(numbers[column], _checked(allowed[name]), name)
    for name, numbers in REFUSED.items():
        program += _on_call(numbers[column], [_return(EPERM)], name)
    return b"".join([*program, _return(ENOSYS)])


def _on_call(number: int | None, block: list[bytes], name: str) -> list[bytes]:
    if number is None:
        return []
    if len(block) > 0xFF:  # noqa: PLR2004  # the reach of a jump
        message = f"the rule of {name} is too long"
        raise ValueError(message)
    return [_jump(0x15, number, 0, len(block)), *block]


def _checked(alternatives: Alternatives) -> list[bytes]:
    """Return instructions that allow the call if one alternative holds, and refuse it otherwise."""
    block: list[bytes] = []
    for conditions in alternatives:
        checks = [half for condition in conditions for half in _halves(condition)]
        for position, (offset, mask, value) in enumerate(checks, start=1):
            to_next_alternative = 3 * (len(checks) - position) + 1
            block += [_load(offset), _and(mask), _jump(0x15, value, 0, to_next_alternative)]
        block.append(_return(ALLOW))
    return [*block, _return(EPERM)]


def _halves(condition: Masked) -> list[tuple[int, int, int]]:
    """Return offset, mask and value of the 32-bit halves that matter; both architectures are little-endian."""
    start = 16 + 8 * condition.argument
    halves = (
        (start, condition.mask & _INT, condition.value & _INT),
        (start + 4, condition.mask >> 32, condition.value >> 32),
    )
    return [half for half in halves if half[1]]


def _unless_equal(loaded: bytes, value: int, verdict: bytes) -> tuple[bytes, ...]:
    return (loaded, _jump(0x15, value, 1, 0), verdict)


def _load(offset: int) -> bytes:
    return _instruction(0x20, offset, 0, 0)


def _and(mask: int) -> bytes:
    return _instruction(0x54, mask, 0, 0)


def _jump(kind: int, value: int, then: int, otherwise: int) -> bytes:
    """Skip `then` or `otherwise` instructions; of the kind 0x15 if equal, 0x35 if at least."""
    return _instruction(kind, value, then, otherwise)


def _return(action: int) -> bytes:
    return _instruction(0x06, action, 0, 0)


def _instruction(code: int, value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
