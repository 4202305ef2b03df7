"""`make bench-jobs`: durable jobs beside bare Celery, on the same machine in the same run.

Prints jobs a second for jobs that do nothing and for jobs that write a row, the time from accepting a job to its first
line, and the worker's memory before and after.
"""

import argparse
import asyncio
import os
from pathlib import Path

from bootstrap.compose import start, stop
from bootstrap.migrations.runner import migrate
from bootstrap.settings.loading import load_settings
from shared.logging import configure_logging
from tools.bench.durable_worker import composed
from tools.bench.findings import KINDS, SIDES, Findings, print_findings, write_findings
from tools.bench.sides import Bench, both_sides, idle_waits, loaded_waits
from tools.bench.system import make_effects_table, running_system

IDLE_PAUSE = 0.05


async def measure(arguments: argparse.Namespace) -> Findings:
    """Start everything, measure, stop everything."""
    with running_system() as system:
        os.environ.update(system.environment)
        settings = load_settings()
        configure_logging(level="warning", log_format="console")
        await asyncio.to_thread(migrate, settings)
        await make_effects_table(system)
        container = composed(settings, "command")
        await start(container)
        try:
            async with both_sides(system, container) as bench:
                return await _measure(bench, arguments)
        finally:
            await stop(container)


async def _measure(bench: Bench, arguments: argparse.Namespace) -> Findings:
    findings = Findings(load_rate=arguments.load_rate)
    findings.memory_before = bench.durable.worker.child_memory()
    await bench.warm_up()
    findings.idle = await idle_waits(bench.durable, number=arguments.idle_jobs, pause=IDLE_PAUSE)
    findings.loaded = await loaded_waits(
        bench.durable, rate=arguments.load_rate, seconds=arguments.load_seconds
    )
    for number in range(arguments.rounds):
        await _round(bench, findings, number, arguments.jobs)
        if number == 0:
            findings.memory_after = bench.durable.worker.child_memory()
    return findings


async def _round(bench: Bench, findings: Findings, number: int, jobs: int) -> None:
    """Drain each kind on both sides; who begins changes from round to round."""
    order = SIDES if number % 2 == 0 else SIDES[::-1]
    for kind in KINDS:
        for side in order:
            drain = await bench.drain(getattr(bench, side), kind, jobs)
            findings.drains.setdefault((kind, side), []).append(drain)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.bench.jobs")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that are drained at a time")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side drains each kind")
    parser.add_argument("--idle-jobs", type=int, default=200, help="single jobs, for the pick-up when idle")
    parser.add_argument(
        "--load-rate", type=float, default=40.0, help="jobs a second, for the pick-up under load"
    )
    parser.add_argument("--load-seconds", type=float, default=20.0, help="how long the load lasts")
    parser.add_argument("--report", type=Path, help="also write the figures to this page of Markdown")
    arguments = parser.parse_args()
    findings = asyncio.run(measure(arguments))
    print_findings(findings)
    if arguments.report is not None:
        write_findings(findings, arguments.report)


if __name__ == "__main__":
    main()
