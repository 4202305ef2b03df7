"""What makes each alert fire on a running system: its cause, and the end of its cause."""

import asyncio
import contextlib
import dataclasses
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import psutil

from bootstrap.backup.recording import record
from tools.dev.ports import choose_port
from tools.drill.drill import DISK_BYTES, Drill, ids_of
from tools.faults.people import some_email

Cause = Callable[[Drill], AbstractAsyncContextManager[None]]
CAUSES: dict[str, Cause] = {}
"""A context for each alert: inside, its cause is there; afterwards it is gone."""


def causes(*alerts: str) -> Callable[[Callable[[Drill], AsyncIterator[None]]], Cause]:
    """Enter a generator as the cause of these alerts: it makes the cause, yields, and ends it."""

    def enter(generator: Callable[[Drill], AsyncIterator[None]]) -> Cause:
        cause = contextlib.asynccontextmanager(generator)
        CAUSES.update(dict.fromkeys(alerts, cause))
        return cause

    return enter


@causes("TulouDown", "TulouProcessDown")
async def the_api_hangs(drill: Drill) -> AsyncIterator[None]:
    api = drill.system.api
    assert api is not None
    api.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        api.signal(signal.SIGCONT)


@causes("TulouAbsent")
async def prometheus_finds_no_target(drill: Drill) -> AsyncIterator[None]:
    targets, drill.prometheus.targets = drill.prometheus.targets, []
    yield
    drill.prometheus.targets = targets


@causes("TulouDatabaseDown")
async def postgresql_hangs(drill: Drill) -> AsyncIterator[None]:
    with drill.frozen_database():
        yield


@causes("TulouStoreDown")
async def the_folder_of_the_store_is_gone(drill: Drill) -> AsyncIterator[None]:
    files = drill.data / "files"
    elsewhere = files.rename(drill.data / "elsewhere")
    yield
    elsewhere.rename(files)


@causes("TulouRedisDown")
async def redis_hangs(drill: Drill) -> AsyncIterator[None]:
    drill.harness.valkey.freeze()
    yield
    drill.harness.valkey.thaw()


@causes("TulouMailServerDown")
async def the_mail_server_is_gone(drill: Drill) -> AsyncIterator[None]:
    drill.harness.mail.kill()
    yield
    await drill.harness.mail.start()


@causes("TulouReplicaUnused")
async def the_replica_is_gone(drill: Drill) -> AsyncIterator[None]:
    await asyncio.to_thread(drill.replica.stop)
    yield
    await asyncio.to_thread(drill.replica.start)


@causes("TulouMetricsUnread")
async def a_table_that_only_metrics_read_is_locked(drill: Drill) -> AsyncIterator[None]:
    async with drill.locked("files.usage"):
        yield


@causes("TulouErrors")
async def requests_fail(drill: Drill) -> AsyncIterator[None]:
    await drill.harness.fetch("REVOKE SELECT ON users.users FROM tulou_app")
    async with drill.repeated(drill.get_me, at_once=2):
        yield
    await drill.harness.fetch("GRANT SELECT ON users.users TO tulou_app")


@causes("TulouSlow")
async def a_table_is_locked_again_and_again(drill: Drill) -> AsyncIterator[None]:
    async def lock() -> None:
        async with drill.locked("users.users"):
            await asyncio.sleep(1.5)

    async with drill.repeated(lock), drill.repeated(drill.get_me, at_once=3):
        yield


@causes("TulouConnectionsAwaited")
async def a_table_stays_locked(drill: Drill) -> AsyncIterator[None]:
    async with drill.locked("users.users"), drill.repeated(drill.get_me, at_once=30):
        yield


@causes("TulouPostgresConnections")
async def another_program_takes_the_connections(drill: Drill) -> AsyncIterator[None]:
    url = drill.harness.postgres.server.superuser_url
    taken: list[asyncpg.Connection] = []
    limit = await drill.harness.value("SELECT current_setting('max_connections')::int")
    used = await drill.harness.value("SELECT sum(numbackends)::int FROM pg_stat_database")
    while len(taken) < round(limit * 0.93) - used:
        taken += await asyncio.gather(*(asyncpg.connect(url, timeout=60) for _ in range(10)))
    yield
    for connection in taken:
        connection.terminate()


@causes("TulouSignInAttack")
async def passwords_are_guessed(drill: Drill) -> AsyncIterator[None]:
    form = {"grant_type": "password", "username": some_email(), "password": "a wrong password 1"}

    async def guess() -> None:
        await drill.client.post("/v1/auth/token", data=form)

    async with drill.repeated(guess, at_once=8):
        yield


@causes("TulouNoWorker")
async def no_worker_runs(drill: Drill) -> AsyncIterator[None]:
    for worker in drill.system.workers:
        await worker.stop()
    yield
    await _new_worker(drill)


@causes("TulouJobsLate")
async def a_job_waits_for_a_worker(drill: Drill) -> AsyncIterator[None]:
    async with no_worker_runs(drill):
        await drill.order("jobs")
        yield


@causes("TulouNoRelay")
async def no_relay_runs(drill: Drill) -> AsyncIterator[None]:
    for relay in drill.system.relays:
        await relay.stop()
    yield
    drill.system.relays.clear()
    await drill.system.new_relay().until_it_says("relay_started")


@causes("TulouRelayBehind")
async def the_relay_is_gone_and_a_wake_up_is_lost(drill: Drill) -> AsyncIterator[None]:
    async with no_relay_runs(drill), no_worker_runs(drill):
        await drill.order("jobs")
        await drill.harness.valkey.empty()
        yield


@causes("TulouWorkersDie")
async def jobs_kill_their_worker(drill: Drill) -> AsyncIterator[None]:
    await drill.order("jobs", kind="faults.kill_own_process")
    yield


@causes("TulouJobsFail")
async def mails_are_refused(drill: Drill) -> AsyncIterator[None]:
    drill.harness.mail.obey(mode="refuse")

    async def send() -> None:
        await drill.order("mails", to=some_email())

    async with drill.repeated(send):
        yield
    drill.harness.mail.obey()
    await _a_day_passes(drill)


@causes("TulouJobsGivenUp")
async def jobs_are_given_up(drill: Drill) -> AsyncIterator[None]:
    drill.harness.mail.obey(mode="refuse")
    for _ in range(25):
        await drill.order("mails", to=some_email())
    yield
    drill.harness.mail.obey()
    await _a_day_passes(drill)


@causes("TulouMailsStuck")
async def a_mail_has_waited_for_twenty_minutes(drill: Drill) -> AsyncIterator[None]:
    async with the_mail_server_is_gone(drill):
        await drill.order("mails", to=some_email())
        await drill.harness.fetch(
            "UPDATE emails.emails SET created_at = created_at - interval '20 minutes' WHERE status <> 'sent'"
        )
        yield


@causes("TulouMailsUncertain")
async def the_mail_server_breaks_off_after_the_content(drill: Drill) -> AsyncIterator[None]:
    drill.harness.mail.obey(drop_after_dot="always")
    await drill.order("mails", to=some_email())
    yield
    drill.harness.mail.obey()
    headers = await drill.administrator()
    uncertain = await drill.client.get("/v1/emails?status=uncertain", headers=headers)
    for mail in ids_of(uncertain):
        answer = await drill.client.post(f"/v1/emails/{mail}/resolve", json={"as": "sent"}, headers=headers)
        assert answer.status_code == httpx.codes.OK, answer.text


@causes("TulouMailsDeferred")
async def the_mail_server_defers_mails(drill: Drill) -> AsyncIterator[None]:
    drill.harness.mail.obey(mode="defer")
    for _ in range(60):
        await drill.order("mails", to=some_email())
    yield
    drill.harness.mail.obey()


@causes("TulouMailsSimplified")
async def a_name_fits_no_header(drill: Drill) -> AsyncIterator[None]:
    await drill.order("mails", to=some_email(), to_name="Ann\r\nBcc: other@example.com")
    yield
    await drill.harness.fetch("UPDATE emails.emails SET created_at = created_at - interval '2 hours'")


@causes("TulouDiskFull", "TulouDiskFilling")
async def the_disk_is_full(drill: Drill) -> AsyncIterator[None]:
    filler = drill.data / "filler"
    filler.write_bytes(bytes(round(DISK_BYTES * 0.97)))
    yield
    filler.unlink()


@causes("TulouBackupOld")
async def no_backup_is_taken(drill: Drill) -> AsyncIterator[None]:
    await record(drill.settings, datetime.now(UTC) - timedelta(days=2))
    yield
    await drill.run("backup", str(drill.harness.folder / f"backup-{some_email()}"), "--no-files")


@causes("TulouLoopFails")
async def a_right_is_missing(drill: Drill) -> AsyncIterator[None]:
    await drill.harness.fetch("REVOKE SELECT ON modes.modes FROM tulou_app")
    yield
    await drill.harness.fetch("GRANT SELECT ON modes.modes TO tulou_app")


@causes("TulouMemory")
async def a_process_needs_a_gigabyte(drill: Drill) -> AsyncIterator[None]:
    port = choose_port("drill-api", memory=drill.harness.folder / "ports.json")
    greedy = dataclasses.replace(drill.system, url=f"http://127.0.0.1:{port}", relays=[], workers=[])
    greedy.new_api(
        TULOU_PORT=str(port),
        TULOU_AUTH_HASH_MEMORY_KIB=str(1 << 20),
        TULOU_AUTH_HASH_TIME_COST="20",
    )
    try:
        await greedy.until_api_answers()
        async with httpx.AsyncClient(base_url=greedy.url, timeout=120) as client:
            person = {"email": some_email(), "password": "correct horse battery staple"}

            async def register() -> None:
                await client.post("/v1/auth/register", json=person)

            drill.prometheus.targets.append(greedy.url)
            async with drill.repeated(register):
                yield
            drill.prometheus.targets.remove(greedy.url)
    finally:
        greedy.end()


@causes("TulouFilesRunOut")
async def few_files_may_be_open(drill: Drill) -> AsyncIterator[None]:
    assert drill.system.api is not None
    process = psutil.Process(drill.system.api.pid)
    soft, hard = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (round(process.num_fds() / 0.9), hard))
    yield
    process.rlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _new_worker(drill: Drill) -> None:
    drill.system.workers.clear()
    await drill.system.add_worker("default", "mail", "files")


async def _a_day_passes(drill: Drill) -> None:
    """Let jobs that failed be older than the day for which they count."""
    await drill.harness.fetch("UPDATE jobs.jobs SET finished_at = finished_at - interval '25 hours'")
