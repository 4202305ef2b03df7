"""`python -m tools.faults`: let the faults happen, and print what came of it."""

import argparse
import asyncio
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console

from tools.faults import catalogue  # noqa: F401  # enters every fault
from tools.faults.attacks import catalogue as attack_catalogue  # noqa: F401  # enters every attack
from tools.faults.attacks.register import ATTACKS, Attack, Finding
from tools.faults.attacks.report import Outcome
from tools.faults.attacks.report import as_table as attacks_as_table
from tools.faults.harness import Harness
from tools.faults.oracle import Row
from tools.faults.register import FAULTS, Fault
from tools.faults.report import Result, as_table, write_attacks, write_page

ALL_ATTACKS = "attacks"
"""What `--only` takes for every attack."""


async def run(
    numbers: list[int], names: list[str], *, scale: float, seed: int, console: Console, keep: bool
) -> tuple[list[Result], list[Outcome]]:
    """Let faults and attacks happen one after another in one harness."""
    results, outcomes = [], []
    harness = Harness(scale=scale, seed=seed)
    try:
        await harness.open()
        for number in numbers:
            result = await happen(harness, FAULTS[number])
            verdict = "[green]survived[/]" if result.row.is_green else "[red]NOT survived[/]"
            console.print(f"{number:2d} {verdict} in {result.row.seconds:.0f} s: {FAULTS[number].title}")
            _print_lines(console, broken=result.row.broken, notes=result.row.notes)
            results.append(result)
        for name in names:
            outcome = await withstand(harness, ATTACKS[name])
            verdict = "[green]withstood[/]" if outcome.finding.is_green else "[red]NOT withstood[/]"
            console.print(f"{name} {verdict} in {outcome.finding.seconds:.0f} s: {ATTACKS[name].title}")
            _print_lines(console, broken=outcome.finding.broken, notes=outcome.finding.notes)
            outcomes.append(outcome)
    finally:
        if keep:
            console.print(f"logs are kept in {harness.folder}")
            harness.shut()
        else:
            harness.close()
    return results, outcomes


def _print_lines(console: Console, *, broken: list[str], notes: list[str]) -> None:
    for line in broken:
        console.print(f"      {line}", style="red", markup=False)
    for line in notes:
        console.print(f"      {line}", style="dim", markup=False)


async def happen(harness: Harness, fault: Fault) -> Result:
    """Let one fault happen. What goes wrong in the harness itself makes the row red too."""
    harness.random.seed(f"{harness.seed}/{fault.number}")
    started = time.monotonic()
    try:
        row = await fault.run(harness)
    except Exception as error:  # noqa: BLE001  # the other faults shall happen all the same
        row = Row(broken=[f"the scenario broke off: {error}"])
        traceback.print_exc()
    row.seconds = time.monotonic() - started
    return Result(fault, row)


async def withstand(harness: Harness, attack: Attack) -> Outcome:
    """Let one attack happen. What goes wrong in the harness itself counts as not withstood."""
    harness.random.seed(f"{harness.seed}/{attack.name}")
    started = time.monotonic()
    try:
        finding = await attack.run(harness)
    except Exception as error:  # noqa: BLE001  # the other attacks shall happen all the same
        finding = Finding(broken=[f"the scenario broke off: {error}"])
        traceback.print_exc()
    finding.seconds = time.monotonic() - started
    return Outcome(attack, finding)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults", description=__doc__)
    parser.add_argument(
        "--only", default="", help="numbers of faults, names of attacks, or `attacks`; separated by commas"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full loads and times")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="write the table to this page")
    parser.add_argument("--keep", action="store_true", help="keep the logs of all processes")
    given = parser.parse_args()
    numbers, names = _chosen(parser, [each for each in given.only.split(",") if each])
    console = Console(width=max(140, Console().width))
    results, outcomes = asyncio.run(
        run(numbers, names, scale=given.scale, seed=given.seed, console=console, keep=given.keep)
    )
    if results:
        console.print(as_table(results))
    if outcomes:
        console.print(attacks_as_table(outcomes))
    if given.report and not results:
        write_attacks(given.report, outcomes)
    elif given.report:
        write_page(given.report, results, outcomes, scale=given.scale, seed=given.seed)
    is_green = all(result.row.is_green for result in results)
    sys.exit(0 if is_green and all(outcome.finding.is_green for outcome in outcomes) else 1)


def _chosen(parser: argparse.ArgumentParser, wanted: list[str]) -> tuple[list[int], list[str]]:
    """Return the numbers of the faults and the names of the attacks that are wanted: all, when none is named."""
    if not wanted:
        return sorted(FAULTS), list(ATTACKS)
    numbers = [int(each) for each in wanted if each.isdecimal()]
    names = [each for each in wanted if not each.isdecimal()]
    if ALL_ATTACKS in names:
        names = list(ATTACKS)
    unknown = [str(number) for number in numbers if number not in FAULTS]
    unknown += [name for name in names if name not in ATTACKS]
    if unknown:
        known = ", ".join([*map(str, sorted(FAULTS)), ALL_ATTACKS, *ATTACKS])
        parser.error(f"there is no fault or attack {unknown[0]}; there are {known}")
    return numbers, names


if __name__ == "__main__":
    main()
