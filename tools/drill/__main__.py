"""`python -m tools.drill`: rehearse incidents and routines under load, and print what clients saw."""

import argparse
import asyncio
import sys
import time
import traceback
from pathlib import Path

from rich.console import Console

from tools.drill import catalogue  # noqa: F401  # enters every rehearsal
from tools.drill.register import REHEARSALS, Finding, Rehearsal
from tools.drill.report import Result, as_table, write_page
from tools.faults.harness import Harness


async def run(names: list[str], *, scale: float, console: Console) -> list[Result]:
    """Rehearse one after another in one harness."""
    harness = Harness(scale=scale)
    results = []
    try:
        await harness.open()
        for name in names:
            console.print(f"{REHEARSALS[name].title} ...")
            results.append(await happen(harness, REHEARSALS[name]))
            found = results[-1].finding
            console.print(
                f"  {results[-1].verdict}",
                *(f"    {text}" for text in [*found.broken, *found.notes]),
                sep="\n",
            )
    finally:
        await asyncio.to_thread(harness.close)
    return results


async def happen(harness: Harness, rehearsed: Rehearsal) -> Result:
    """Rehearse; what is raised is a finding too."""
    begun = time.monotonic()
    try:
        finding = await rehearsed.run(harness)
    except Exception as error:  # noqa: BLE001  # the others are rehearsed all the same
        finding = Finding(broken=[f"{error!r} {traceback.format_exc(limit=-3)}"])
    finding.seconds = time.monotonic() - begun
    return Result(rehearsed, finding)


def main() -> int:
    """Rehearse, print, and write the page when everything was rehearsed."""
    arguments = argparse.ArgumentParser(prog="tools.drill", description=__doc__)
    arguments.add_argument("--only", default="", help=f"some of {', '.join(REHEARSALS)}, comma-separated")
    arguments.add_argument("--scale", type=float, default=1.0, help="shrinks times")
    arguments.add_argument("--page", type=Path, help="write the page here")
    given = arguments.parse_args()
    names = [name for name in given.only.split(",") if name] or [*REHEARSALS]
    unknown = set(names) - REHEARSALS.keys()
    if unknown:
        arguments.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(REHEARSALS)}")
    console = Console()
    results = asyncio.run(run(names, scale=given.scale, console=console))
    console.print(as_table(results))
    if given.page is not None:
        write_page(given.page, results, scale=given.scale)
    return 0 if all(result.finding.is_green for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
