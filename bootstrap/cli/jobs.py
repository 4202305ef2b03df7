"""`tulou jobs` and `tulou workers`: list, show, run, retry and cancel jobs of all owners.

Exit codes: 0 success, 1 something could not be done (a sentence says what), 2 wrong arguments.
"""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from uuid import UUID

import typer

from bootstrap.cli.options import AsJson, Limit
from bootstrap.cli.terminal import command_settings, exit_on_error
from bootstrap.runtime.current_operator import current_operator
from bootstrap.settings.required import required_settings

if TYPE_CHECKING:
    from bootstrap.container import TulouContainer
    from domains.jobs.repository.reports import MatchCount
    from domains.jobs.service.operations import OperationsService

jobs = typer.Typer(no_args_is_help=True, help="List background jobs; run, retry and cancel them.")
T = TypeVar("T")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Status = Literal[
    "scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelling", "cancelled"
]
Ids = Annotated[list[UUID], typer.Argument(metavar="ID...", show_default=False, help="Jobs, by their ids.")]


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `2h` or `7d`."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        message = f"{text!r} is not a duration. Write 90s, 30m, 2h or 7d."
        raise typer.BadParameter(message)
    return timedelta(seconds=int(match[1]) * UNITS[match[2]])


def parse_payload(text: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = 'This is not a JSON object. Write it in single quotes, as in \'{"file_id": "..."}\'.'
        raise typer.BadParameter(message)
    return found


@jobs.command("list")
def list_jobs(
    *,
    status: Annotated[Status | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind, e.g. emails.deliver.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only jobs of this queue.")] = None,
    owner: Annotated[UUID | None, typer.Option(help="Only jobs of the account with this id.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, the latest first."""
    from bootstrap.cli.job_reports import print_jobs
    from domains.jobs.repository.reports import JobFilter

    filters = JobFilter(status=status, kind=kind, queue=queue, owner_id=owner)
    print_jobs(_run_command(lambda operations: operations.latest(filters, limit=limit)), as_json=as_json)


@jobs.command()
def show(
    job_id: Annotated[UUID, typer.Argument(metavar="ID", show_default=False)], *, as_json: AsJson = False
) -> None:
    """Show everything about a job, its attempts too."""
    from bootstrap.cli.job_reports import print_report

    print_report(_run_command(lambda operations: operations.report(job_id)), as_json=as_json)


@jobs.command("run")
def run_job(
    kind: Annotated[str, typer.Argument(help="As in files.sweep.", show_default=False)],
    *,
    payload: Annotated[
        dict[str, Any] | None,
        typer.Option(
            parser=parse_payload,
            metavar="JSON",
            help='Its payload, as in \'{"file_id": "..."}\'; most that recur take none.',
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Queue a job by hand and print its id."""
    from bootstrap.cli.job_reports import print_results

    answer = _run_command(lambda operations: operations.run(kind, payload or {}, current_operator()))
    raise typer.Exit(print_results([answer], as_json=as_json))


@jobs.command()
def retry(
    job_ids: Annotated[
        list[UUID] | None,
        typer.Argument(metavar="ID", show_default=False, help="Failed or cancelled jobs, by their ids."),
    ] = None,
    *,
    kind: Annotated[str | None, typer.Option(help="All failed jobs of this kind.")] = None,
    failed_since: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="All that failed within this time: 90s, 30m, 2h, 7d."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before many jobs are retried.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Queue failed or cancelled jobs again, with all their attempts: by id, or many at once."""
    in_bulk = kind is not None or failed_since is not None
    if bool(job_ids) == in_bulk:
        message = "Give ids, or --kind and --failed-since, but not both."
        raise typer.BadParameter(message)
    if in_bulk:
        _retry_many(kind, failed_since, yes=yes, as_json=as_json)
        return
    from bootstrap.cli.job_reports import print_results

    answers = _run_command(lambda operations: operations.retry(job_ids or [], current_operator()))
    raise typer.Exit(print_results(answers, as_json=as_json))


@jobs.command()
def cancel(job_ids: Ids, *, as_json: AsJson = False) -> None:
    """Cancel jobs: waiting ones at once, running ones after ten seconds at most."""
    from bootstrap.cli.job_reports import print_results

    answers = _run_command(lambda operations: operations.cancel(job_ids, current_operator()))
    raise typer.Exit(print_results(answers, as_json=as_json))


@jobs.command()
def stats(*, as_json: AsJson = False) -> None:
    """Show waiting jobs, throughput and failures of each queue."""
    from bootstrap.cli.job_reports import print_statistics

    print_statistics(_run_command(lambda operations: operations.statistics()), as_json=as_json)


def workers(*, as_json: AsJson = False) -> None:
    """List the workers with host, queues, version and state."""
    from bootstrap.cli.job_reports import print_workers

    print_workers(_run_command(lambda operations: operations.workers()), as_json=as_json)


def _retry_many(kind: str | None, within: timedelta | None, *, yes: bool, as_json: bool) -> None:
    from bootstrap.cli.job_reports import print_retried

    counted: MatchCount = _run_command(lambda operations: operations.count_failed(kind, within=within))
    if counted.number and not yes:
        typer.confirm(f"{counted.number} failed jobs match. Retry them?", abort=True, err=True)
    begun = _run_command(
        lambda operations: operations.retry_failed(
            kind, current_operator(), within=within, until=counted.until
        )
    )
    print_retried(counted.number, begun, as_json=as_json)


def _run_command(question: "Callable[[OperationsService], Awaitable[T]]") -> T:
    """Compose the program, action, and return the answer."""
    from bootstrap.cli.commands import composed
    from domains.jobs.service.operations import OperationsService
    from shared.wiring import provided_by

    async def action(container: "TulouContainer") -> T:
        return await question(provided_by(container, "jobs.operations", OperationsService))

    # None of the keys: these commands work in the container of each role.
    return exit_on_error(lambda: composed(command_settings(required_settings("relay")), action, role="relay"))
