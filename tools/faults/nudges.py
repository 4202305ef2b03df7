"""No fault at all, but no relay either: nudges alone must start every job. Shows what a nudge sent too early does."""

from tools.faults.client import Client
from tools.faults.harness import House
from tools.faults.oracle import Row, judge


async def nudges_alone(house: House) -> Row:
    """Accept jobs whose transactions take a moment to commit, while no relay runs."""
    row = Row()
    without_looks = {"TULOU_JOBS_LOOK_INTERVAL": "600"}
    async with house.system(relays=0, workers=1, **without_looks) as system, Client(system) as client:
        await client.load(house.count(200, least=20), per_second=20, order=lambda _: {"lingers": 0.05})
        await judge(house, row, client.accepted, drain_seconds=2)
    return row
