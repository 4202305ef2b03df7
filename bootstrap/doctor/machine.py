"""Checks of this machine and of settings: sandbox, proxies, metrics, backups."""

import ipaddress
import re
from datetime import UTC, datetime, timedelta

from bootstrap.backup.archive import objects_at
from bootstrap.backup.last_backup import LAST_BACKUP, taken_at
from bootstrap.backup.manifest import NAME
from bootstrap.container import TulouContainer
from bootstrap.diagnosis.errors import CheckFailed, CheckWarning
from bootstrap.settings.model import Settings
from bootstrap.settings.production_checks import NARROWEST_PREFIX
from domains.files.errors import SandboxUnavailable
from shared.errors import AppError

_NAMED_BY_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")


async def sandbox(container: TulouContainer) -> str:
    """Check that the process that opens untrusted files can be confined on this machine."""
    if container.settings().files_sandbox == "off":
        return "off: files are opened without confinement (fine outside production)"
    sandbox = container.files.sandbox()
    try:
        await sandbox.check()
    except SandboxUnavailable as error:
        remedy = "Until then no image and no document is opened on this machine; uploads and downloads go on."
        raise CheckFailed(error.reason, remedy) from error
    finally:
        await sandbox.stop()
    return "every thread is confined"


async def proxies(container: TulouContainer) -> str:
    """Check which proxies are trusted to send X-Forwarded-For."""
    settings = container.settings()
    wide = [proxy for proxy in settings.trusted_proxies or () if _is_wide(proxy)]
    if wide:
        raise CheckFailed(
            f"TULOU_TRUSTED_PROXIES has {', '.join(wide)}: any client can choose the address that limits count by.",
            "Set TULOU_TRUSTED_PROXIES to the addresses or networks of your proxies alone.",
        )
    if not settings.trusted_proxies and settings.public_url.startswith("https://"):
        raise CheckWarning(
            f"TULOU_PUBLIC_URL is {settings.public_url}, so a proxy ends TLS, and TULOU_TRUSTED_PROXIES names none: all"
            " clients share the limits of its address.",
            "Set TULOU_TRUSTED_PROXIES to the proxy's address or network.",
        )
    return ", ".join(settings.trusted_proxies or ()) or "none"


async def metrics_token(container: TulouContainer) -> str:
    """Check that monitoring may read `/metrics`."""
    settings = container.settings()
    if settings.metrics_token is not None:
        return "set"
    if settings.env != "production":
        return "not set: /metrics is open (fine outside production)"
    raise CheckWarning(
        "TULOU_METRICS_TOKEN is not set: /metrics is closed, so nothing can raise an alert.",
        "Set TULOU_METRICS_TOKEN to 32 random characters, and give it to Prometheus as bearer token.",
    )


async def backups(container: TulouContainer) -> str:
    """Check the age of the latest complete backup, by the record in the database, else by TULOU_BACKUP_PLACE."""
    settings = container.settings()
    if recorded := taken_at(await container.database().fetch_one(LAST_BACKUP)):
        return _is_recent(container, recorded, "recorded in the database")
    if settings.backup_place is None:
        if settings.env != "production":
            return "none, and TULOU_BACKUP_PLACE is not set (fine outside production)"
        raise CheckWarning(
            "The database has no record of a backup, and TULOU_BACKUP_PLACE is not set.",
            "Set TULOU_BACKUP_PLACE to a folder or bucket, and run `tulou backup` each night.",
        )
    try:
        taken = await _latest(settings, settings.backup_place)
    except (AppError, OSError) as error:
        raise CheckFailed(
            f"{settings.backup_place} (TULOU_BACKUP_PLACE) can't be read ({type(error).__name__}).",
            "Make that folder or bucket, let this user and its credentials read it, or correct TULOU_BACKUP_PLACE.",
        ) from error
    if taken is None:
        raise CheckWarning(f"{settings.backup_place} has no whole backup.", "Run `tulou backup`.")
    return _is_recent(container, taken, f"in {settings.backup_place}")


def _is_recent(container: TulouContainer, taken: datetime, where: str) -> str:
    hours = (container.clock().now() - taken) / timedelta(hours=1)
    longest = container.settings().doctor_backup_hours
    if hours > longest:
        raise CheckWarning(
            f"The latest backup, {where}, is {hours:.0f} h old, more than {longest} (TULOU_DOCTOR_BACKUP_HOURS).",
            "Run `tulou backup`, and find out why the last one did not run or did not end.",
        )
    return f"the latest is {hours:.1f} h old"


async def _latest(settings: Settings, place: str) -> datetime | None:
    objects = objects_at(settings, place)
    for name in sorted(await objects.folders(), reverse=True):
        if _NAMED_BY_TIME.fullmatch(name) and await objects.size(f"{name}/{NAME}") is not None:
            return datetime.strptime(name, "%Y-%m-%dT%H%M%SZ").replace(tzinfo=UTC)
    return None


def _is_wide(proxy: str) -> bool:
    return proxy == "*" or ipaddress.ip_network(proxy, strict=False).prefixlen < NARROWEST_PREFIX
