"""The rehearsals by name, and what is found in one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tools.drill.clients import Counts
from tools.faults.harness import Harness

RECOVERY = 5.0
"""Seconds after the end of a cause in which everything is answered again."""


@dataclass
class Finding:
    """What a rehearsal has shown. `broken` must stay empty."""

    clients: Counts = field(default_factory=Counts)
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

    def expect_only_refusals(self, *, recovered_after: float) -> None:
        """Expect that nothing but 503 with `Retry-After` was answered meanwhile, and recovery in time."""
        self.expect(not self.clients.failures, f"failures {self.clients.failures[:3]}")
        self.expect(
            recovered_after < RECOVERY,
            f"requests succeed again {recovered_after:.1f} s after the cause's end",
        )

    def expect_no_refusal(self) -> None:
        """Expect that every request was answered as asked."""
        self.expect(not self.clients.failures, f"failures {self.clients.failures[:3]}")
        self.expect(not self.clients.refused, f"refused with {dict(self.clients.codes)}")


Run = Callable[[Harness], Awaitable[Finding]]


@dataclass(frozen=True)
class Rehearsal:
    """An incident or a routine, and what is expected of the system."""

    name: str
    title: str
    expected: str
    run: Run


REHEARSALS: dict[str, Rehearsal] = {}


def rehearsal(name: str, title: str, *, expected: str) -> Callable[[Run], Run]:
    """Enter a rehearsal under its name, which `make drill ONLY=name` takes."""

    def enter(run: Run) -> Run:
        if name in REHEARSALS:
            raise ValueError(f"there are two rehearsals with the name {name}")
        REHEARSALS[name] = Rehearsal(name, title, expected, run)
        return run

    return enter
