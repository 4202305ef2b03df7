"""`tulou`: run Tulou, operate it, and develop domains for it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bootstrap import operators
from bootstrap.administration import limits, mails, users
from bootstrap.configuration import load_settings
from bootstrap.garbage import loading
from bootstrap.mode_commands import mode
from bootstrap.needs import needs_of
from bootstrap.release import release
from bootstrap.scaffold import commands as scaffold
from bootstrap.settings import SettingsError
from bootstrap.terminal import command_settings, stop, told

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", "--queues", "-q", help="Queues to work on: again, or with commas, for more."),
]
Domains = Annotated[
    str | None, typer.Option("--domains", help="Only these domains, with commas between; by default all.")
]


def main() -> None:
    """Run a command; print a foreseeable error as one sentence, without a traceback."""
    try:
        app()
    except SettingsError as error:
        stop(str(error))


def _print_version(asked: bool) -> None:  # noqa: FBT001  # typer's way
    if asked:
        typer.echo(f"tulou {release()}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print version and commit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Read the options before a command."""


@app.command()
def dev(
    *,
    servers: Annotated[
        bool, typer.Option("--servers", help="Only database, Redis and mail catcher.")
    ] = False,
) -> None:
    """Start everything in this terminal: database, Redis, mail catcher, API, relay and workers."""
    from bootstrap.embedded.supervisor import run  # noqa: PLC0415  # only what a command needs is loaded

    raise typer.Exit(run(load_settings(), servers_only=servers))


@app.command()
def serve(domains: Domains = None) -> None:
    """Serve the API, or the routes of some domains of it."""
    settings = command_settings()  # what is wrong there is said before much is loaded
    with loading():
        from bootstrap.fleets import limited  # noqa: PLC0415  # as above
        from bootstrap.serve import serve_api  # noqa: PLC0415  # as above

    serve_api(limited(settings, domains))


@app.command()
def worker(queues: Queues = None, domains: Domains = None) -> None:
    """Run jobs of some queues, of all domains or some, in child processes."""
    # Celery reads it when it is imported: SIGTERM then lets running jobs end.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    named = [name.strip() for text in queues or () for name in text.split(",")]
    settings = command_settings(needs_of("worker", named))
    with loading():
        from bootstrap.fleets import limited, queues_of  # noqa: PLC0415  # as above
        from bootstrap.worker import Worker  # noqa: PLC0415  # as above

    settings = limited(settings, domains)
    Worker(settings, queues_of(settings, queues)).run()


@app.command()
def relay() -> None:
    """Requeue jobs of dead workers, queue due and recurring jobs, send lost hints again."""
    settings = command_settings(needs_of("relay"))
    with loading():
        import asyncio  # noqa: PLC0415  # as above

        from bootstrap.relay import run_relay  # noqa: PLC0415  # as above

    asyncio.run(run_relay(settings))


@app.command()
def migrate(
    *,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only print what is missing; exit code 1 if this version can't work."),
    ] = False,
) -> None:
    """Migrate the database, as the owner's role. Waits for other migrations and for locks."""
    from bootstrap.migrate import look  # noqa: PLC0415  # as above
    from bootstrap.migrate import migrate as apply  # noqa: PLC0415  # as above

    if not check:
        if sentence := apply(command_settings(needs_of("migrate"))):
            typer.echo(sentence)
        return
    schema = look(command_settings(needs_of("migrate")))
    typer.echo("\n".join(schema.missing) or schema.sentence)
    raise typer.Exit(0 if schema.standing.fits else 1)


@app.command()
def backup(
    place: Annotated[
        str | None,
        typer.Argument(
            help="An empty folder, or a URL such as s3://bucket/backups/today;"
            " by default a new folder in TULOU_BACKUP_PLACE, named by the time."
        ),
    ] = None,
    files: Annotated[bool, typer.Option(help="Copy the store's objects too.")] = True,  # noqa: FBT002  # typer's way
) -> None:
    """Back up the database and the files that it names, while everything runs.

    Exit codes: 0 everything is in it, 1 there is no backup, 3 there is one without files that the store has lost.
    """
    from bootstrap.backup.commands import back_up  # noqa: PLC0415  # as above

    raise typer.Exit(back_up(command_settings(needs_of("backup")), place, with_files=files))


@app.command()
def restore(
    place: Annotated[str, typer.Argument(help="Where the backup is.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what the database has.")] = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="For --replace: the database's name, which is asked for otherwise."
        ),
    ] = None,
    skip_damaged: Annotated[
        bool,
        typer.Option("--skip-damaged", help="Restore what is sound of a damaged backup, and list the rest."),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only read it, and check every byte.")] = False,
) -> None:
    """Restore a backup into an empty database, or replace its contents. Nothing else may run meanwhile.

    Exit codes: 0 all of it is restored, 1 nothing was changed, 3 what is sound is restored, 4 all or nothing: the
    connection was lost while it committed.
    """
    from bootstrap.backup import commands  # noqa: PLC0415  # as above

    settings = command_settings(needs_of("backup"))
    if check:
        commands.check(settings, place)
    else:
        how = commands.How(replace=replace, confirm=confirm, skip_damaged=skip_damaged)
        raise typer.Exit(commands.put_back(settings, place, how))


@app.command("make-migration")
def make_migration(
    domain: Annotated[str, typer.Argument(help="The domain whose models changed.")],
    message: Annotated[str, typer.Option("--message", "-m", help="What the migration does.")],
) -> None:
    """Write a migration from the difference between a domain's models and the database."""
    from bootstrap.migrate import FOLDER, columns_without_a_value, write_migration  # noqa: PLC0415  # as above

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


@app.command("create-admin")
def create_admin(
    email: Annotated[str, typer.Option(prompt=True, help="The administrator's address.")],
    password: Annotated[
        str,
        typer.Option(
            prompt=True,
            hide_input=True,
            confirmation_prompt=True,
            envvar="TULOU_ADMIN_PASSWORD",
            help="Better typed at the prompt or given in the environment than on the command line.",
        ),
    ],
) -> None:
    """Make an administrator: a new account with a verified address."""
    from bootstrap.commands import create_admin as create  # noqa: PLC0415  # as above

    typer.echo(told(lambda: create(command_settings(), email=email, password=password)))


@app.command()
def settings(
    *, markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False
) -> None:
    """Print every setting: its value, where it comes from, what it means. Secrets stay hidden."""
    if markdown:
        from bootstrap.settings_page import settings_page  # noqa: PLC0415  # as above

        typer.echo(settings_page(), nl=False)
        return
    from bootstrap.commands import print_settings  # noqa: PLC0415  # as above

    print_settings(command_settings())


@app.command("init-env")
def init_env(
    folder: Annotated[str, typer.Argument(help="Where docker-compose.yml is.")] = ".",
) -> None:
    """Write fresh secrets and settings for docker-compose.yml: secrets/, .env, tulou.env. Never over older ones."""
    from bootstrap.environment_files import FilesAreThere, write_environment_files  # noqa: PLC0415  # as above

    try:
        written = write_environment_files(Path(folder))
    except FilesAreThere as error:
        stop(str(error))
    typer.echo(f"Wrote {', '.join(str(path) for path in written)}.")


@app.command()
def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write an archive (.tar.gz) for support too: versions, settings, findings, numbers; nothing secret or"
            " personal.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Check everything that Tulou depends on, and print how to mend what is wrong.

    Exit codes: 0 all is well, 1 something is wrong, 3 there are only warnings.
    """
    from bootstrap.commands import check_everything  # noqa: PLC0415  # as above

    raise typer.Exit(check_everything(as_json=as_json, bundle=bundle, force=force))


@app.command()
def domains(
    name: Annotated[str | None, typer.Argument(help="All about this one.", show_default=False)] = None,
    *,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flow chart.")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Print a picture.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write docs/map.md and docs/map.svg.")] = False,
) -> None:
    """Print what each domain offers, needs, publishes and reacts to, and how large it is."""
    from bootstrap.scaffold import drawing  # noqa: PLC0415  # as above
    from bootstrap.scaffold.atlas import atlas  # noqa: PLC0415  # as above

    if name is not None:
        found = {sheet.name: sheet for sheet in atlas()}
        if name not in found:
            stop(f"There is no domain {name}; there are {', '.join(found)}.")
        drawing.print_sheet(found[name])
    elif mermaid or svg:
        typer.echo((drawing.svg if svg else drawing.mermaid)(atlas()), nl=False)
    elif write:
        drawing.write_map(atlas())
    else:
        drawing.print_sheets(atlas())


app.add_typer(operators.jobs, name="jobs")
app.add_typer(limits.limits, name="limits")
app.add_typer(mails.mails, name="mails")
app.add_typer(mode, name="mode")
app.add_typer(users.users, name="users")
app.add_typer(scaffold.new, name="new")
app.add_typer(scaffold.remove, name="remove")
app.add_typer(scaffold.rename, name="rename")
app.command("workers")(operators.workers)

if __name__ == "__main__":
    main()
