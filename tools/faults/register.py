"""The list of faults: each is entered with its number where it is written."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tools.faults.harness import Harness
from tools.faults.oracle import Row

Scenario = Callable[[Harness], Awaitable[Row]]


@dataclass(frozen=True)
class Fault:
    """A fault, and what is expected of the system under it."""

    number: int
    title: str
    expected: str
    run: Scenario


FAULTS: dict[int, Fault] = {}


def fault(number: int, title: str, *, expected: str) -> Callable[[Scenario], Scenario]:
    """Enter a scenario under its number."""

    def enter(scenario: Scenario) -> Scenario:
        if number in FAULTS:
            raise ValueError(f"there are two faults with the number {number}")
        FAULTS[number] = Fault(number, title, expected, scenario)
        return scenario

    return enter
