"""Valkey, emptied, killed, frozen and fed with rubbish."""

import asyncio
import time

from tools.faults.client import Client
from tools.faults.deaths import PACE, short_work
from tools.faults.harness import Harness
from tools.faults.oracle import Row, judge
from tools.faults.register import fault


@fault(6, "FLUSHALL every 6 to 12 s", expected="lost 0")
async def valkey_is_emptied(harness: Harness) -> Row:
    row, flushes = Row(), 0
    count = harness.count(2000, least=300)
    async with harness.system() as system, Client(system) as client:
        load = asyncio.create_task(client.load(count, per_second=PACE, order=lambda _: short_work(harness)))
        while not load.done():
            await asyncio.wait([load], timeout=harness.chance(6, 12) * min(1, 3 * harness.scale))
            await harness.valkey.empty()
            flushes += 1
        await load
        await judge(harness, row, client.accepted)
    row.note(f"{flushes} times emptied")
    return row


@fault(
    7, "Valkey killed, 60 s down, back empty", expected="p99 of POST unchanged, no 5xx, drained within 30 s"
)
async def valkey_is_away(harness: Harness) -> Row:
    row = Row()
    down = harness.seconds(60, least=6)
    count = harness.count(1000, least=200)
    async with harness.system() as system, Client(system) as client:
        usual = await _usual_wait(client)
        await harness.valkey.kill()
        began, done_before = time.monotonic(), len(client.waits)
        await client.load(count, per_second=count / down)
        await asyncio.sleep(max(0.0, down - (time.monotonic() - began)))
        during = client.slowest(since=done_before)
        await harness.valkey.start()
        back_at = time.monotonic()
        await judge(harness, row, client.accepted)
        drained = time.monotonic() - back_at
        await _no_errors(row, client)
        row.expect(all(child.code is None for child in system.children), "no process ended")
    _same_wait(harness, row, usual, during)
    row.expect(drained < 30, f"drained {drained:.1f} s after its return")
    return row


@fault(8, "Valkey frozen (SIGSTOP) for 60 s", expected="p99 of POST unchanged, lost 0")
async def valkey_hangs(harness: Harness) -> Row:
    row = Row()
    seconds = harness.seconds(60, least=6)
    async with harness.system() as system, Client(system) as client:
        usual = await _usual_wait(client)
        harness.valkey.freeze()
        done_before = len(client.waits)
        await client.load(int(PACE * seconds), per_second=PACE, order=lambda _: short_work(harness))
        during = client.slowest(since=done_before)
        harness.valkey.thaw()
        await judge(harness, row, client.accepted)
        await _no_errors(row, client)
        row.expect(all(child.code is None for child in system.children), "no process ended")
    _same_wait(harness, row, usual, during)
    return row


_TIMED = 0.1
"""The scale from which on waits are judged."""


async def _usual_wait(client: Client) -> float:
    """Return the p99 of POST while all is well."""
    await client.load(50, per_second=PACE)  # what is made at the first request is no part of it
    client.waits.clear()
    await client.load(200, per_second=PACE)
    return client.slowest()


def _same_wait(harness: Harness, row: Row, usual: float, during: float) -> None:
    """Allow for a machine that is shared: twice as long, or 50 ms more. In a short form other tests run beside it."""
    same = harness.scale < _TIMED or during <= max(2 * usual, usual + 0.05)
    row.expect(same, f"p99 of POST {usual * 1000:.0f} ms before, {during * 1000:.0f} ms during")


async def _no_errors(row: Row, client: Client) -> None:
    answers = dict(client.answers)
    row.expect(
        set(answers) == {202} and not client.interrupted,
        f"responses {answers}, interrupted {client.interrupted}",
    )
