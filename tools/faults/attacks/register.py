"""The list of attacks: one client against all others. Each is entered under a name where it is written."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tools.faults.client import percentile
from tools.faults.harness import Harness

MOST_GROWTH = 150.0
"""MiB that the resident memory of the API may grow by during an attack."""

MOST_GROWTH_AGAIN = 15.0
"""MiB that a second round of the same attack may add to what is left after the first."""

LONGEST_WAIT = 0.1
"""Seconds: the 99th percentile of what others wait for `GET /v1/users/me` meanwhile."""


@dataclass(kw_only=True)
class Memory:
    """Resident memory of the API in MiB: before the attack, the largest seen, after one round and after two."""

    before: float
    peak: float
    after: float
    after_again: float


@dataclass
class Finding:
    """What an attack came to. `broken` says which expectations failed; it is withstood when there is none.

    `waits` are the seconds that others waited for each answer during the attack.
    """

    memory: Memory | None = None
    waits: list[float] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def is_green(self) -> bool:
        """Whether everything was as expected."""
        return not self.broken

    def note(self, text: str) -> None:
        """Add a figure."""
        self.notes.append(text)

    def expect(self, holds: object, text: str) -> None:
        """Demand something; `text` says what was seen."""
        (self.notes if holds else self.broken).append(text)

    def judge(self) -> None:
        """Compare memory and waits with the limits of every attack."""
        memory = self.memory
        if memory is not None:
            growth, again = memory.peak - memory.before, memory.after_again - memory.after
            self.expect(growth < MOST_GROWTH, f"memory grew by {growth:.0f} MiB at most")
            self.expect(again < MOST_GROWTH_AGAIN, f"a second round added {again:.0f} MiB")
        if self.waits:
            slowest = percentile(self.waits, 99)
            self.expect(slowest < LONGEST_WAIT, f"p99 of {len(self.waits)} others {slowest * 1000:.0f} ms")


Assault = Callable[[Harness], Awaitable[Finding]]


@dataclass(frozen=True)
class Attack:
    """An attack by one client, and what is expected of the system under it."""

    name: str
    title: str
    expected: str
    run: Assault


ATTACKS: dict[str, Attack] = {}


def attack(name: str, title: str, *, expected: str) -> Callable[[Assault], Assault]:
    """Enter an attack under its name, which `make faults ONLY=name` takes."""

    def enter(assault: Assault) -> Assault:
        if name in ATTACKS:
            raise ValueError(f"there are two attacks with the name {name}")
        ATTACKS[name] = Attack(name, title, expected, assault)
        return assault

    return enter
