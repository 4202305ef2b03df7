"""A database that only reads, that refuses logins, that is full of connections."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tools.drill.register import Finding, rehearsal
from tools.drill.stage import Stage, stage
from tools.faults.harness import Harness

_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tulou_app'"


@rehearsal(
    "read-only",
    "The database is read-only for a minute, as after a failover",
    expected="only 503 with `Retry-After`, requests succeed again within 5 s, no restart, no job lost",
)
async def the_database_only_reads(harness: Harness) -> Finding:
    async def begin() -> None:
        await harness.fetch("ALTER SYSTEM SET default_transaction_read_only = on")
        await harness.fetch("SELECT pg_reload_conf()")

    async def end() -> None:
        await harness.fetch("ALTER SYSTEM RESET default_transaction_read_only")
        await harness.fetch("SELECT pg_reload_conf()")

    return await _disturbed(harness, begin, end, seconds=60)


@rehearsal(
    "password",
    "The password of the database is changed, and changed back",
    expected="only 503 with `Retry-After`, requests succeed again within 5 s, no restart, no job lost",
)
async def the_password_is_another(harness: Harness) -> Finding:
    password = harness.postgres.server.url.rpartition("@")[0].rpartition(":")[2]

    async def begin() -> None:
        await harness.fetch("ALTER ROLE tulou_app PASSWORD 'another-password-of-a-drill'")
        await harness.fetch(_CONNECTIONS)

    async def end() -> None:
        await harness.fetch(f"ALTER ROLE tulou_app PASSWORD '{password}'")

    return await _disturbed(harness, begin, end, seconds=30)


@rehearsal(
    "restart",
    "The database is stopped without a checkpoint, and started again",
    expected="only 503 with `Retry-After`, requests succeed again within 5 s, no restart, no job lost",
)
async def the_database_restarts(harness: Harness) -> Finding:
    return await _disturbed(harness, harness.postgres.stop_immediately, harness.postgres.start, seconds=10)


async def _disturbed(
    harness: Harness,
    begin: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
    *,
    seconds: float,
) -> Finding:
    finding = Finding()
    async with stage(harness) as scene:
        before = scene.pids()
        async with scene.going_on(finding):
            await asyncio.sleep(harness.seconds(5))
            await begin()
            try:
                await asyncio.sleep(harness.seconds(seconds))
            finally:
                await end()
            ended_at = time.monotonic()
            recovered = await scene.clients.until_answered(ended_at)
            await asyncio.sleep(harness.seconds(5))
        await scene.judge(finding)
        await _alive(harness, scene, finding, ended_at)
        finding.expect(
            scene.pids() == before, f"{len(before & scene.pids())} of {len(before)} processes still run"
        )
    finding.expect(finding.clients.refused, f"{finding.clients.refused} requests were refused during it")
    finding.expect_only_refusals(recovered_after=recovered)
    return finding


async def _alive(harness: Harness, scene: Stage, finding: Finding, since: float) -> None:
    """Expect that relay and workers have announced themselves since."""
    number = len(scene.system.relays) + len(scene.system.workers)
    age = time.monotonic() - since
    seen = f"SELECT count(*) FROM jobs.workers WHERE heartbeat_at > now() - interval '{age:.0f} seconds'"
    announced = await harness.until_value(seen, number, seconds=25)
    finding.expect(announced, f"{number} relays and workers have sent heartbeats again")
