"""Everything in turn, for a long time."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

import psutil

from tools.faults.client import Client
from tools.faults.deaths import PACE, kill_one, short_work
from tools.faults.harness import Harness, System
from tools.faults.oracle import Row, judge
from tools.faults.register import fault

Trouble = Callable[[Harness, System], Awaitable[None]]


@fault(24, "Soak: faults 1 to 9 in turn for 20 min", expected="lost 0, doubled 0, memory flat")
async def soak(harness: Harness) -> Row:
    row, troubles = Row(), 0
    seconds = harness.seconds(1200, least=60)
    async with harness.system(relays=2) as system, Client(system) as client:
        await client.load(100, per_second=PACE, order=lambda _: short_work(harness))
        before = _memory(system)
        load = asyncio.create_task(
            client.load(int(PACE * seconds), per_second=PACE, order=lambda _: short_work(harness))
        )
        until = time.monotonic() + seconds - 10
        while time.monotonic() < until:
            await TROUBLES[troubles % len(TROUBLES)](harness, system)
            troubles += 1
            await asyncio.sleep(harness.chance(1, 4))
        await load
        await judge(harness, row, client.accepted, drain_seconds=120)
        after = _memory(system)
        up = all(child.code is None for child in system.children)
    row.expect(up, f"{troubles} faults; every process runs at the end")
    row.expect(after < before * 1.2 + 20, f"memory {before:.0f} MiB before, {after:.0f} after")
    row.note(f"responses {dict(client.answers)}, {client.interrupted} POSTs interrupted or refused")
    return row


def _memory(system: System) -> float:
    return sum(child.memory() for child in system.children)


async def _kill_a_worker(harness: Harness, system: System) -> None:
    await kill_one(harness, system)


async def _kill_a_child(harness: Harness, system: System) -> None:
    children = [child for worker in system.workers for child in psutil.Process(worker.pid).children()]
    if children:
        os.kill(harness.random.choice(children).pid, signal.SIGKILL)


async def _let_a_worker_sleep(harness: Harness, system: System) -> None:
    sleeper = harness.random.choice(system.workers)
    sleeper.signal(signal.SIGSTOP)
    await asyncio.sleep(3 * harness.lease)
    sleeper.signal(signal.SIGCONT)


async def _kill_the_api(_harness: Harness, system: System) -> None:
    assert system.api is not None
    system.api.kill()
    system.api.start()
    await system.until_api_answers()


async def _kill_a_relay(harness: Harness, system: System) -> None:
    relay = harness.random.choice(system.relays)
    relay.kill()
    relay.start()


async def _empty_valkey(harness: Harness, _system: System) -> None:
    await harness.valkey.empty()


async def _take_valkey_away(harness: Harness, _system: System) -> None:
    await harness.valkey.kill()
    await asyncio.sleep(harness.chance(2, 8))
    await harness.valkey.start()


async def _freeze_valkey(harness: Harness, _system: System) -> None:
    harness.valkey.freeze()
    await asyncio.sleep(harness.chance(2, 8))
    harness.valkey.thaw()


async def _crash_postgres(harness: Harness, _system: System) -> None:
    await harness.postgres.stop_immediately()
    await asyncio.sleep(harness.chance(0.5, 3))
    await harness.postgres.start()


TROUBLES: tuple[Trouble, ...] = (
    _kill_a_worker,
    _kill_a_child,
    _let_a_worker_sleep,
    _kill_the_api,
    _kill_a_relay,
    _empty_valkey,
    _take_valkey_away,
    _freeze_valkey,
    _crash_postgres,
)
