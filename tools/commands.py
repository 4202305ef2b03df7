"""The commands of `tulou` for developers. They need a checkout: the wheel has none of them."""

from typing import Annotated

import typer

from bootstrap.cli.terminal import command_settings, stop
from bootstrap.settings.loading import load_settings
from tools.scaffold import commands as scaffold


def dev(
    *,
    servers: Annotated[
        bool, typer.Option("--servers", help="Only database, Redis and mail catcher.")
    ] = False,
) -> None:
    """Start everything in this terminal: database, Redis, mail catcher, API, relay and workers."""
    from tools.dev.supervisor import run

    raise typer.Exit(run(load_settings(), servers_only=servers))


def make_migration(
    domain: Annotated[str, typer.Argument(help="The domain whose models changed.")],
    message: Annotated[str, typer.Option("--message", "-m", help="What the migration does.")],
) -> None:
    """Write a migration from the difference between a domain's models and the database."""
    from bootstrap.migrations.runner import FOLDER
    from tools.scaffold.make_migration import columns_without_a_value, write_migration

    path = write_migration(command_settings(), message=message, domain=domain)
    if path is None:
        typer.echo(f"Nothing to write: the database has what the models of {domain} say.")
        return
    typer.echo(f"wrote {path.relative_to(FOLDER.parents[1])}")
    if columns := columns_without_a_value(path):
        typer.echo(
            f"Careful: rows that are there have no {', '.join(columns)}. Write server_default=... behind"
            " nullable=False, or nullable=True and fill it first; docs/upgrading.md says how."
        )
    typer.echo("Next: read it, for it sees no renames, then .venv/bin/tulou migrate")


def domains(
    name: Annotated[str | None, typer.Argument(help="All about this one.", show_default=False)] = None,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write docs/map.md.")] = False,
) -> None:
    """Print what each domain offers, needs, publishes and reacts to, and how large it is."""
    from tools.scaffold import drawing
    from tools.scaffold.domain_map import domain_map

    if name is not None:
        found = {summary.name: summary for summary in domain_map()}
        if name not in found:
            stop(f"There is no domain {name}; there are {', '.join(found)}.")
        drawing.print_summary(found[name])
    elif write:
        drawing.write_map(domain_map())
    else:
        drawing.print_summaries(domain_map())


def add_commands(app: typer.Typer) -> None:
    """Add these commands to `tulou`."""
    app.command()(dev)
    app.command("make-migration")(make_migration)
    app.command()(domains)
    app.add_typer(scaffold.new, name="new")
    app.add_typer(scaffold.remove, name="remove")
