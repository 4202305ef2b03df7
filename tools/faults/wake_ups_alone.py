"""No fault, but no relay either: wake-ups alone start every job. Shows what a wake-up sent too early does."""

from tools.faults.client import Client
from tools.faults.harness import Harness
from tools.faults.oracle import Row, judge


async def wake_ups_alone(harness: Harness) -> Row:
    """Accept jobs whose transactions take a moment to commit, while no relay runs."""
    row = Row()
    without_looks = {"TULOU_JOBS_LOOK_INTERVAL": "600"}
    async with harness.system(relays=0, workers=1, **without_looks) as system, Client(system) as client:
        await client.load(harness.count(200, least=20), per_second=20, order=lambda _: {"lingers": 0.05})
        await judge(harness, row, client.accepted, drain_seconds=2)
    return row
