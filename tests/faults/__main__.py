"""`python -m tests.faults`: let the faults happen, and print what came of it."""

import argparse
import asyncio
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console

from tests.faults import catalogue  # noqa: F401  # enters every fault
from tests.faults.house import House
from tests.faults.oracle import Row
from tests.faults.register import FAULTS, Fault
from tests.faults.report import Result, as_table, write_page


async def run(numbers: list[int], *, scale: float, seed: int, console: Console, keep: bool) -> list[Result]:
    """Let faults happen one after another in one house."""
    results = []
    house = House(scale=scale, seed=seed)
    try:
        await house.open()
        for number in numbers:
            result = await happen(house, FAULTS[number])
            verdict = "[green]survived[/]" if result.row.is_green else "[red]NOT survived[/]"
            console.print(f"{number:2d} {verdict} in {result.row.seconds:.0f} s: {FAULTS[number].title}")
            for line in result.row.broken:
                console.print(f"      {line}", style="red", markup=False)
            for line in result.row.notes:
                console.print(f"      {line}", style="dim", markup=False)
            results.append(result)
    finally:
        if keep:
            console.print(f"logs are kept in {house.folder}")
            house.shut()
        else:
            house.close()
    return results


async def happen(house: House, fault: Fault) -> Result:
    """Let one fault happen. What goes wrong in the house itself makes the row red too."""
    house.random.seed(f"{house.seed}/{fault.number}")
    started = time.monotonic()
    try:
        row = await fault.run(house)
    except Exception as error:  # noqa: BLE001  # the other faults shall happen all the same
        row = Row(broken=[f"the scenario broke off: {error}"])
        traceback.print_exc()
    row.seconds = time.monotonic() - started
    return Result(fault, row)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", default="", help="numbers, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full loads and times")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="write the table to this page")
    parser.add_argument("--keep", action="store_true", help="keep the logs of all processes")
    given = parser.parse_args()
    numbers = [int(number) for number in given.only.split(",") if number] or sorted(FAULTS)
    unknown = [number for number in numbers if number not in FAULTS]
    if unknown:
        parser.error(f"there is no fault {unknown[0]}; there are {', '.join(map(str, sorted(FAULTS)))}")
    console = Console(width=max(140, Console().width))
    results = asyncio.run(run(numbers, scale=given.scale, seed=given.seed, console=console, keep=given.keep))
    console.print(as_table(results))
    if given.report:
        write_page(given.report, results, scale=given.scale, seed=given.seed)
    sys.exit(0 if all(result.row.is_green for result in results) else 1)


if __name__ == "__main__":
    main()
