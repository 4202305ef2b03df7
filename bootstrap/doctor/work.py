"""Checks of background work: workers, relay, versions, failed jobs, uncertain mails."""

from importlib.metadata import version

from bootstrap.container import TulouContainer, exports
from bootstrap.diagnosis.errors import CheckFailed, CheckWarning
from domains.emails.public import EmailStatus
from domains.jobs.repository.operations import SILENT_AFTER
from domains.jobs.repository.reports import WorkerRow
from domains.jobs.service.operations import OperationsService
from shared.wiring import provided_by

LONGEST_LAG = 10.0
"""Seconds by which a relay may be behind."""


async def living_workers(container: TulouContainer) -> list[WorkerRow]:
    """Return the workers and relays with a recent heartbeat; a relay serves no queue."""
    rows = await _operations(container).workers()
    return [row for row in rows if row.silence < SILENT_AFTER.total_seconds()]


async def workers(container: TulouContainer) -> str:
    """Check that each queue has a worker."""
    able = [row for row in await living_workers(container) if not row.draining]
    served = {queue for row in able for queue in row.queues.split(",")}
    unserved = [queue for queue in container.registry().queues() if queue not in served]
    if unserved:
        raise CheckFailed(
            f"No worker serves {', '.join(unserved)}.",
            "Start " + ", ".join(f"`tulou worker --queue {queue}`" for queue in unserved) + ".",
        )
    return f"{sum(bool(row.queues) for row in able)} alive; each queue has one"


async def relay(container: TulouContainer) -> str:
    """Check that a relay is alive and keeps up."""
    if not any(not row.queues for row in await living_workers(container)):
        raise CheckFailed("No relay is alive: retries and recurring jobs wait.", "Start `tulou relay`.")
    lag = (await _operations(container).load()).relay_lag_seconds
    if lag > LONGEST_LAG:
        raise CheckFailed(
            f"The relay is {lag:.0f} s behind.",
            "Look at its log for refusals of PostgreSQL or Redis; restart it with `tulou relay` if it hangs.",
        )
    return f"alive, {lag:.1f} s behind"


async def versions(container: TulouContainer) -> str:
    """Check that workers and relays run this version."""
    own = version("tulou")
    others = [row for row in await living_workers(container) if row.version != own]
    if others:
        named = ", ".join(f"{row.id} ({row.version})" for row in others)
        raise CheckWarning(
            f"These workers or relays run another version than {own}: {named}.",
            "Finish the update: stop them, and start them again from the version that the API runs.",
        )
    return f"all run {own}"


async def failed_jobs(container: TulouContainer) -> str:
    """Check that no job failed for good within 24 hours."""
    failed = (await _operations(container).load()).failed_by_kind
    if failed:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(failed.items()))
        raise CheckWarning(
            f"Jobs failed for good within 24 hours: {kinds}.",
            "`tulou jobs list --status failed` shows them and `tulou jobs show ID` why; when the cause is fixed:"
            " `tulou jobs retry --failed-since 1d`.",
        )
    return "none within 24 hours"


async def uncertain_mails(container: TulouContainer) -> str:
    """Check that no mail is uncertain."""
    found = [
        measure for part in (exports(container, "measures")["emails"],) for measure in await part.measure()
    ]
    number = sum(
        value
        for measure in found
        if measure.name == "tulou_mails"
        for labels, value in measure.values
        if tuple(labels) == (EmailStatus.UNCERTAIN.value,)
    )
    if number:
        raise CheckWarning(
            f"Whether {number:.0f} mail(s) were delivered is uncertain, and they are not sent again by themselves.",
            "`tulou mails list --status uncertain` shows them; look into the mail server's log, then decide about each:"
            " `tulou mails resolve ID --as sent` (or resend, failed).",
        )
    return "none"


def _operations(container: TulouContainer) -> OperationsService:
    return provided_by(container, "jobs.operations", OperationsService)
