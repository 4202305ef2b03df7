"""The commands that write code: `tulou new domain`, `tulou remove domain` and their like."""

from typing import Annotated, NoReturn

import typer

from bootstrap.scaffold.changes import PROJECT, StepFailed
from bootstrap.scaffold.fields import TYPES, FieldRefused
from bootstrap.scaffold.names import NameRefused
from bootstrap.terminal import stop

new = typer.Typer(no_args_is_help=True, help="Write a domain, a job or a mail.")
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        "-f",
        help=f"name:type, again for more; types: {', '.join(TYPES)}; each with :unique, :optional, :index.",
    ),
]


@new.command()
def domain(
    name: Annotated[str, typer.Argument(help="A plural, as in invoices.")],
    *,
    fields: Fields = None,
    owned: Annotated[bool, typer.Option("--owned", help="Each thing belongs to who created it.")] = False,
    with_job: Annotated[bool, typer.Option("--with-job", help="A job that reacts to new ones.")] = False,
    with_mail: Annotated[bool, typer.Option("--with-mail", help="A mail to the owner of a new one.")] = False,
    singular: Annotated[str | None, typer.Option(help="If it isn't the plural without its s.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")] = False,
) -> None:
    """Write a whole domain: table, routes, service, migration, tests, and its line in bootstrap/container.py."""
    from bootstrap.scaffold.new_domain import files_of, write_domain  # noqa: PLC0415  # only what a command needs is loaded
    from bootstrap.scaffold.plan import plan_domain  # noqa: PLC0415  # as above

    try:
        plan = plan_domain(name, fields or [], singular=singular, owned=owned, job=with_job, mail=with_mail)
        if dry_run:
            for path, text in files_of(plan).items():
                typer.echo(f"would write {path} ({len(text.splitlines())} lines)")
            typer.echo(
                f"would write a migration, the entry of {name} in bootstrap/container.py, and docs/map.md"
            )
            return
        written = write_domain(plan)
    except (NameRefused, FieldRefused) as error:
        stop(str(error))
    except StepFailed as error:
        _step_failed(error)
    for place in written:
        typer.echo(f"wrote {place.relative_to(PROJECT)}")
    typer.echo(f"Next: tulou migrate, and python -m pytest tests/domains/{name}")


def _step_failed(error: StepFailed) -> NoReturn:
    stop(f"{error}\nNothing was changed.")
