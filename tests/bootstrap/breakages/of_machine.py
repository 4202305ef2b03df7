"""Breakages of the machine: full disks, unsafe settings, old backups, jobs without a worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from bootstrap.backup.last_backup import comment_on
from bootstrap.compose import compose, start, stop
from bootstrap.container import TulouContainer
from domains.emails.public import EmailStatus
from domains.jobs.schemas import WorkerInfo
from tests.bootstrap.breakages.lab import Broken, Lab, breakage

QUEUES = "default,files,mail"


@breakage("disk", says=("does not exist", "ENOENT"), cures=("mkdir -p", "TULOU_DATA_DIR"))
async def missing_data_folder(lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"data_dir": lab.folder / "none", "files_store_url": f"file://{lab.folder}/store"})


@breakage("disk", says=("MiB left", "TULOU_DOCTOR_FREE_BYTES"), cures=("Make room", "TULOU_DATA_DIR"))
async def little_space_left(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"doctor_free_bytes": 1 << 60})


def _on_a_disk_of_its_own(lab: Lab, options: str, then: str = "true") -> Broken:
    """Mount a small disk where only the doctor sees it."""
    disk = lab.folder / "disk"
    disk.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o {options} none {disk} && {{ {then}; }} && exec "$@"'
    return Broken(
        environment={
            "DATABASE_URL": lab.url,
            "TULOU_DATA_DIR": str(disk),
            "TULOU_FILES_STORE_URL": f"file://{lab.folder}/store",
        },
        launch=("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"),
    )


@breakage("disk", says=("is full", "ENOSPC"), cures=("Make room", "TULOU_DATA_DIR"))
async def full_disk(lab: Lab) -> AsyncIterator[Broken]:
    fill = f"head -c 200000 /dev/zero > {lab.folder}/disk/all 2>/dev/null || true"
    yield _on_a_disk_of_its_own(lab, "size=64k", fill)


@breakage("disk", says=("mounted read-only", "EROFS"), cures=("remount,rw", "TULOU_DATA_DIR"))
async def disk_that_is_mounted_read_only(lab: Lab) -> AsyncIterator[Broken]:
    yield _on_a_disk_of_its_own(lab, "ro")


@breakage("proxies", says=("0.0.0.0/0",), cures=("TULOU_TRUSTED_PROXIES",))
async def proxies_too_wide(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"trusted_proxies": ("0.0.0.0/0",)})


@breakage(
    "proxies",
    says=("https://api.example.com", "share the limits"),
    cures=("TULOU_TRUSTED_PROXIES",),
    state="warning",
)
async def no_proxies_behind_one(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"trusted_proxies": (), "public_url": "https://api.example.com"})


@breakage("metrics", says=("/metrics is closed",), cures=("TULOU_METRICS_TOKEN",), state="warning")
async def no_metrics_token(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"env": "production", "metrics_token": None})


@breakage("settings", says=("TULOU_METRICS_TOKEN", "16 characters"), cures=("Set TULOU_METRICS_TOKEN",))
async def short_metrics_token(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken(environment={"TULOU_METRICS_TOKEN": "short"})


@breakage("settings", says=("TULOU_PUBLIC_URL", "is not https"), cures=("Set TULOU_PUBLIC_URL",))
async def plain_public_url_in_production(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken(environment={"TULOU_ENV": "production", "TULOU_PUBLIC_URL": "http://api.example.com"})


@breakage("settings", says=("TULOU_SIGNING_KEYS", "32 bytes"), cures=("Set TULOU_SIGNING_KEYS",))
async def short_key(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken(environment={"TULOU_SIGNING_KEYS": "dG9vIHNob3J0"})


@breakage(
    "settings",
    says=("TULOU_PUBLIC_URLL", "did you mean TULOU_PUBLIC_URL"),
    cures=("Take TULOU_PUBLIC_URLL out",),
)
async def mistyped_setting(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken(environment={"TULOU_PUBLIC_URLL": "https://api.example.com"})


@breakage("backups", says=("TULOU_BACKUP_PLACE is not set",), cures=("`tulou backup`",), state="warning")
async def no_place_for_backups(_lab: Lab) -> AsyncIterator[Broken]:
    yield Broken({"env": "production", "backup_place": None})


@breakage("backups", says=("no whole backup",), cures=("`tulou backup`",), state="warning")
async def interrupted_backup(lab: Lab) -> AsyncIterator[Broken]:
    (lab.folder / "torn" / "2026-11-01T030000Z").mkdir(parents=True)
    yield Broken({"backup_place": str(lab.folder / "torn")})


@breakage("backups", says=("h old", "more than 26"), cures=("`tulou backup`",), state="warning")
async def old_backup(lab: Lab) -> AsyncIterator[Broken]:
    taken = datetime.now(UTC) - timedelta(hours=50)
    folder = lab.folder / "old" / f"{taken:%Y-%m-%dT%H%M%SZ}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    yield Broken({"backup_place": str(lab.folder / "old")})


@breakage(
    "backups", says=("recorded in the database", "50 h old"), cures=("`tulou backup`",), state="warning"
)
async def old_backup_that_the_database_knows(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.owner() as owner:
        await owner.execute(comment_on(datetime.now(UTC) - timedelta(hours=50)))
        yield Broken()
        await owner.execute("COMMENT ON COLUMN alembic_version.version_num IS NULL")


@asynccontextmanager
async def composed(lab: Lab) -> AsyncIterator[TulouContainer]:
    container = compose(lab.settings, "command")
    await start(container)
    try:
        yield container
    finally:
        await stop(container)


@asynccontextmanager
async def announced(lab: Lab, *workers: tuple[str, str, str, bool]) -> AsyncIterator[Broken]:
    """Announce workers: id, queues, version, whether they drain."""
    async with composed(lab) as container:
        worker_registry = container.jobs.worker_registry()
        for name, queues, number, draining in workers:
            await worker_registry.register(
                WorkerInfo(id=name, host="h", pid=1, queues=queues, version=number, draining=draining)
            )
        try:
            yield Broken()
        finally:
            for name, *_ in workers:
                await worker_registry.deregister(name)


async def _silence(lab: Lab, name: str) -> None:
    async with lab.owner() as owner:
        await owner.execute(
            "UPDATE jobs.workers SET heartbeat_at = now() - interval '1 minute' WHERE id = $1", name
        )


@breakage("workers", says=("No worker serves", "mail"), cures=("`tulou worker --queue mail`",))
async def queue_without_a_worker(lab: Lab) -> AsyncIterator[Broken]:
    async with announced(lab, ("a:1", "default,files", "1", False)) as broken:
        yield broken


@breakage("workers", says=("No worker serves", "files"), cures=("`tulou worker --queue files`",))
async def worker_that_drains(lab: Lab) -> AsyncIterator[Broken]:
    async with announced(lab, ("a:1", "default,mail", "1", False), ("b:1", "files", "1", True)) as broken:
        yield broken


@breakage("workers", says=("No worker serves", "default"), cures=("`tulou worker --queue default`",))
async def worker_that_died(lab: Lab) -> AsyncIterator[Broken]:
    async with announced(lab, ("a:1", QUEUES, "1", False)) as broken:
        await _silence(lab, "a:1")
        yield broken


@breakage("relay", says=("No relay is alive",), cures=("`tulou relay`",))
async def no_relay(lab: Lab) -> AsyncIterator[Broken]:
    async with announced(lab, ("a:1", QUEUES, "1", False)) as broken:
        yield broken


@breakage("relay", says=("s behind",), cures=("restart it",))
async def relay_that_does_nothing(lab: Lab) -> AsyncIterator[Broken]:
    async with announced(lab, ("r:1", "", "1", False)) as broken, lab.owner() as owner:
        made = await owner.fetchval(_JOB.format("scheduled", "NULL"))
        yield broken
        await owner.execute("DELETE FROM jobs.jobs WHERE id = $1", made)


@breakage("versions", says=("a:1 (0.0.9)",), cures=("Finish the update",), state="warning")
async def worker_of_another_version(lab: Lab) -> AsyncIterator[Broken]:
    async with announced(lab, ("a:1", QUEUES, "0.0.9", False)) as broken:
        yield broken


@breakage(
    "failed jobs", says=("1 files.sweep",), cures=("`tulou jobs retry --failed-since 1d`",), state="warning"
)
async def job_that_failed_for_good(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.owner() as owner:
        made = await owner.fetchval(_JOB.format("failed", "now()"))
        yield Broken()
        await owner.execute("DELETE FROM jobs.jobs WHERE id = $1", made)


@breakage(
    "uncertain mails",
    says=("1 mail",),
    cures=("`tulou mails list --status uncertain`", "`tulou mails resolve ID --as sent`"),
    state="warning",
)
async def mail_whose_delivery_is_uncertain(lab: Lab) -> AsyncIterator[Broken]:
    async with lab.owner() as owner:
        made = await owner.fetchval(_MAIL, EmailStatus.UNCERTAIN.value)
        yield Broken()
        await owner.execute("DELETE FROM emails.emails WHERE id = $1", made)


_JOB = """
    INSERT INTO jobs.jobs (id, kind, queue, payload, payload_version, state, finished_at, run_at, priority, attempt,
        max_attempts, crashes, progress_current, revision)
    VALUES (gen_random_uuid(), 'files.sweep', 'files', '{{}}', 1, '{}', {}, now() - interval '1 hour', 0, 1, 1, 0, 0, 1)
    RETURNING id
"""
_MAIL = """
    INSERT INTO emails.emails (id, status, phase, sender, template, sensitive, when_uncertain, message_id, attempts,
        revision)
    VALUES (gen_random_uuid(), $1, 'data', 'us@example.com', 'x', false, 'hold', gen_random_uuid()::text, 1, 1)
    RETURNING id
"""
