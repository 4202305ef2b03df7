"""The commands that write code: `tulou new domain`, `tulou remove domain` and their like."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bootstrap.cli.terminal import stop
from shared.queues import QUEUES
from tools.scaffold.changes import PROJECT, StepFailed
from tools.scaffold.kinds import TYPES
from tools.scaffold.names import NameRefused, camel

new = typer.Typer(no_args_is_help=True, help="Write a domain, a job or a mail.")
remove = typer.Typer(no_args_is_help=True, help="Remove a domain.")
Domain = Annotated[str, typer.Argument(help="A domain that is there.")]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        "-f",
        help=f"name:type, again for more; types: {', '.join(TYPES)}; each with :unique, :optional, :index.",
    ),
]

_START_ANEW = "stop `make run` and start it again"
_TEST = ".venv/bin/python -m pytest tests/domains"
_MIGRATE = ".venv/bin/tulou migrate"


@new.command()
def domain(
    name: Annotated[str, typer.Argument(help="A plural, as in invoices.")],
    *,
    fields: Fields = None,
    owned: Annotated[
        bool, typer.Option("--owned", help="Each row belongs to the user who created it.")
    ] = False,
    with_job: Annotated[bool, typer.Option("--with-job", help="A job that reacts to new ones.")] = False,
    with_mail: Annotated[bool, typer.Option("--with-mail", help="A mail to the owner of a new one.")] = False,
    singular: Annotated[
        str | None, typer.Option(help="What one of them is called, if the plural doesn't tell.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")] = False,
) -> None:
    """Write a whole domain: table, routes, service, migration, tests, and its line in bootstrap/container.py."""
    from tools.scaffold.new_domain import files_of, write_domain
    from tools.scaffold.plan import plan_domain

    def write() -> list[Path]:
        plan = plan_domain(name, fields or [], singular=singular, owned=owned, job=with_job, mail=with_mail)
        if singular is None:
            typer.echo(f"One of them is called {plan['a']}; if that is wrong, say --singular.")
        if not dry_run:
            return write_domain(plan)
        for path, text in files_of(plan).items():
            typer.echo(f"would write {path} ({len(text.splitlines())} lines)")
        typer.echo(f"would write a migration, the entry of {name} in bootstrap/container.py, and docs/map.md")
        return []

    if _run_and_report(write):
        typer.echo(f"Next: {_START_ANEW}, which migrates, and {_TEST}/{name}")


@new.command()
def job(
    domain: Domain,
    name: Annotated[str, typer.Argument(help="What it does, as in send_reminder.")],
    *,
    on: Annotated[str | None, typer.Option(help="The event that causes it, as in InvoiceCreated.")] = None,
    every: Annotated[str | None, typer.Option(help="How often it runs: 30s, 5m, 1h, 1d.")] = None,
    queue: Annotated[str, typer.Option(help=f"{', '.join(QUEUES)}.")] = "default",
) -> None:
    """Write a job, what does it, and its test."""
    from tools.scaffold.additions import add_job

    if _run_and_report(lambda: add_job(domain, name, on=on, every=every, queue=queue)):
        typer.echo(
            f"Next: write what {camel(name)}.run does, {_TEST}/{domain}/test_{name}.py, and {_START_ANEW}"
        )


@new.command()
def mail(
    domain: Domain, name: Annotated[str, typer.Argument(help="What it is about, as in payment_reminder.")]
) -> None:
    """Write a mail's templates, what sends it, and its test."""
    from tools.scaffold.additions import add_mail

    if _run_and_report(lambda: add_mail(domain, name)):
        typer.echo(f"Next: write what it says, {_TEST}/{domain}/test_{name}.py, and {_START_ANEW}")


@remove.command("domain")
def remove_domain(
    name: Annotated[str, typer.Argument(help="A domain that nothing else needs.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Also delete files that are in no commit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove a domain, and write the migration that drops its tables."""
    from tools.scaffold import removal

    def go() -> list[Path]:
        if not dry_run:
            return removal.remove_domain(name, force=force)
        for path in removal.files_to_remove(name):
            typer.echo(f"would remove {path.relative_to(PROJECT)}")
        typer.echo(f"would write a migration, bootstrap/container.py without {name}, and docs/map.md")
        return []

    if _run_and_report(go):
        typer.echo(
            f"Next: read the migration, which drops the tables with all that is in them, and {_START_ANEW}, which"
            f" applies it. Elsewhere deploy this version first, then {_MIGRATE}"
        )


def _run_and_report(action: Callable[[], list[Path]]) -> list[Path]:
    """Do the work and print the written files, or one sentence about the failure."""
    from tools.scaffold.fields import FieldRefused

    try:
        places = action()
    except (NameRefused, FieldRefused) as error:
        stop(str(error))
    except StepFailed as error:
        stop(f"{error}\nNothing was changed.")
    for place in places:
        typer.echo(f"{'wrote' if place.exists() else 'removed'} {place.relative_to(PROJECT)}")
    return places
