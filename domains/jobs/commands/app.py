"""`tulou jobs` and `tulou workers`: list, show, run, retry and cancel jobs of all owners.

Exit codes: 0 success, 1 something could not be done (a sentence says what), 2 wrong arguments.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from uuid import UUID

import typer

from shared.cli.options import AsJson, Limit, Program, parse_duration

if TYPE_CHECKING:
    from domains.jobs.repository.reports import MatchCount
    from domains.jobs.service.operations import OperationsService

jobs = typer.Typer(no_args_is_help=True, help="List background jobs; run, retry and cancel them.")
T = TypeVar("T")

Status = Literal[
    "scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelling", "cancelled"
]
Ids = Annotated[list[UUID], typer.Argument(metavar="ID...", show_default=False, help="Jobs, by their ids.")]


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
    context: typer.Context,
    *,
    status: Annotated[Status | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind, e.g. emails.deliver.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only jobs of this queue.")] = None,
    owner: Annotated[UUID | None, typer.Option(help="Only jobs of the account with this id.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, the latest first."""
    from domains.jobs.commands.reports import print_jobs
    from domains.jobs.repository.reports import JobFilter

    filters = JobFilter(status=status, kind=kind, queue=queue, owner_id=owner)
    print_jobs(_ask(context, lambda operations: operations.latest(filters, limit=limit)), as_json=as_json)


@jobs.command()
def show(
    context: typer.Context,
    job_id: Annotated[UUID, typer.Argument(metavar="ID", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Show everything about a job, its attempts too."""
    from domains.jobs.commands.reports import print_report

    print_report(_ask(context, lambda operations: operations.report(job_id)), as_json=as_json)


@jobs.command("run")
def run_job(
    context: typer.Context,
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
    from domains.jobs.commands.reports import print_results

    result = _ask(context, lambda operations: operations.run(kind, payload or {}, context.obj.operator()))
    raise typer.Exit(print_results([result], as_json=as_json))


@jobs.command()
def retry(
    context: typer.Context,
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
        _retry_many(context, kind, failed_since, yes=yes, as_json=as_json)
        return
    from domains.jobs.commands.reports import print_results

    results = _ask(context, lambda operations: operations.retry(job_ids or [], context.obj.operator()))
    raise typer.Exit(print_results(results, as_json=as_json))


@jobs.command()
def cancel(context: typer.Context, job_ids: Ids, *, as_json: AsJson = False) -> None:
    """Cancel jobs: waiting ones at once, running ones after ten seconds at most."""
    from domains.jobs.commands.reports import print_results

    results = _ask(context, lambda operations: operations.cancel(job_ids, context.obj.operator()))
    raise typer.Exit(print_results(results, as_json=as_json))


@jobs.command()
def stats(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show waiting jobs, throughput and failures of each queue."""
    from domains.jobs.commands.reports import print_statistics

    print_statistics(_ask(context, lambda operations: operations.statistics()), as_json=as_json)


def workers(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the workers with host, queues, version and state."""
    from domains.jobs.commands.reports import print_workers

    print_workers(_ask(context, lambda operations: operations.workers()), as_json=as_json)


def _retry_many(
    context: typer.Context, kind: str | None, within: timedelta | None, *, yes: bool, as_json: bool
) -> None:
    from domains.jobs.commands.reports import print_retried

    counted: MatchCount = _ask(context, lambda operations: operations.count_failed(kind, within=within))
    if counted.number and not yes:
        typer.confirm(f"{counted.number} failed jobs match. Retry them?", abort=True, err=True)
    begun = _ask(
        context,
        lambda operations: operations.retry_failed(
            kind, context.obj.operator(), within=within, until=counted.until
        ),
    )
    print_retried(counted.number, begun, as_json=as_json)


def _ask(context: typer.Context, question: "Callable[[OperationsService], Awaitable[T]]") -> T:
    from domains.jobs.service.operations import OperationsService

    program: Program = context.obj
    return program.ask("jobs.operations", OperationsService, question)
