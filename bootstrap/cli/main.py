"""`tulou`: run Tulou, operate it, and develop domains for it."""

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bootstrap.cli import limits, mails, users
from bootstrap.cli.modes import mode
from bootstrap.cli.program import CommandProgram
from bootstrap.cli.terminal import command_settings, exit_on_error, stop
from bootstrap.runtime.loading import loading
from bootstrap.runtime.release import release
from bootstrap.settings.model import SettingsError
from bootstrap.settings.required import required_settings
from domains.jobs.commands.app import jobs, workers

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Queues = Annotated[
    list[str] | None,
    typer.Option(
        "--queue",
        "--queues",
        "-q",
        help="Queues to work on. Repeat the option, or separate queues by commas.",
    ),
]
Domains = Annotated[
    str | None, typer.Option("--domains", help="Only these domains, separated by commas; by default all.")
]

SIGNALLED = 128
"""Exit codes above it name the signal that ended a command."""


def main() -> None:
    """Run a command; print an expected error as one sentence, without a traceback."""
    try:
        app()
    except SettingsError as error:
        stop(str(error))
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > SIGNALLED:
            # Threads of the object store may still run. One that calls Python while the interpreter
            # finalizes aborts the process with another exit code.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


def _print_version(asked: bool) -> None:  # noqa: FBT001  # typer's way
    if asked:
        typer.echo(f"tulou {release()}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001  # its callback prints it
        bool,
        typer.Option("--version", help="Print version and commit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Read the options before a command."""
    context.obj = CommandProgram()


@app.command()
def serve(domains: Domains = None) -> None:
    """Serve the API, or the routes of some domains of it."""
    settings = command_settings()  # settings are checked before modules that take long to import
    with loading():
        from bootstrap.api.server import serve_api
        from bootstrap.domain_selection import with_domains

    serve_api(with_domains(settings, domains))


@app.command()
def worker(queues: Queues = None, domains: Domains = None) -> None:
    """Run jobs of some queues, of all domains or some, in child processes."""
    # Celery reads it when it is imported: SIGTERM then lets running jobs end.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    named = [name.strip() for text in queues or () for name in text.split(",")]
    settings = command_settings(required_settings("worker", named))
    with loading():
        from bootstrap.domain_selection import queues_of, with_domains
        from bootstrap.worker import Worker

    settings = with_domains(settings, domains)
    Worker(settings, queues_of(settings, queues)).run()


@app.command()
def relay() -> None:
    """Requeue jobs of dead workers, queue due and recurring jobs, send lost wake-ups again."""
    settings = command_settings(required_settings("relay"))
    with loading():
        import asyncio

        from bootstrap.relay import run_relay

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
    from bootstrap.migrations.runner import look
    from bootstrap.migrations.runner import migrate as apply

    if not check:
        if sentence := apply(command_settings(required_settings("migrate"))):
            typer.echo(sentence)
        return
    schema = look(command_settings(required_settings("migrate")))
    typer.echo("\n".join(schema.missing) or schema.sentence)
    raise typer.Exit(0 if schema.status.fits else 1)


@app.command()
def backup(
    place: Annotated[
        str | None,
        typer.Argument(
            help="An empty folder, or a URL such as s3://bucket/backups/today;"
            " by default a new folder in TULOU_BACKUP_PLACE, named by the time."
        ),
    ] = None,
    files: Annotated[bool, typer.Option(help="Copy the objects of the file store too.")] = True,  # noqa: FBT002  # typer's way
) -> None:
    """Back up the database and the files that it names, while everything runs.

    Exit codes: 0 the backup is complete, 1 there is no backup, 3 the backup lacks files that the store has lost.
    """
    from bootstrap.cli.backups import back_up

    raise typer.Exit(back_up(command_settings(required_settings("backup")), place, with_files=files))


@app.command()
def restore(
    place: Annotated[str, typer.Argument(help="Where the backup is.")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete the database's contents first.")] = False,
    confirm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="For --replace: the name of the database. Without it, the command asks."
        ),
    ] = None,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged", help="Restore the intact parts of a damaged backup, and list the rest."
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check every byte of the backup.")] = False,
) -> None:
    """Restore a backup into an empty database, or replace its contents. Nothing else may run meanwhile.

    Exit codes: 0 everything is restored, 1 nothing was changed, 3 the intact parts are restored, 4 unknown: the
    connection was lost during COMMIT, so everything or nothing is restored.
    """
    from bootstrap.cli import backups as commands

    settings = command_settings(required_settings("backup"))
    if check:
        commands.check(settings, place)
    else:
        options = commands.RestoreOptions(replace=replace, confirm=confirm, skip_damaged=skip_damaged)
        raise typer.Exit(commands.restore_backup(settings, place, options))


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
            help="Type it at the prompt or set the variable: other users can read the command line.",
        ),
    ],
) -> None:
    """Make an administrator: a new account with a verified address."""
    from bootstrap.cli.commands import create_admin as create

    typer.echo(exit_on_error(lambda: create(command_settings(), email=email, password=password)))


@app.command()
def settings(
    *, markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False
) -> None:
    """Print every setting: its value, where it comes from, what it means. Secrets stay hidden."""
    if markdown:
        from bootstrap.settings.reference import settings_page

        typer.echo(settings_page(), nl=False)
        return
    from bootstrap.cli.commands import print_settings

    print_settings(command_settings())


@app.command("init-env")
def init_env(
    folder: Annotated[str, typer.Argument(help="Where docker-compose.yml is.")] = ".",
) -> None:
    """Write new secrets and settings for docker-compose.yml: secrets/, .env, tulou.env. Existing ones stay."""
    from bootstrap.settings.env_files import FilesAreThere, write_environment_files

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
            help="Also write an archive (.tar.gz) for support: versions, settings, findings, counts; nothing secret or"
            " personal.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Check everything that Tulou depends on, and print how to fix each problem.

    Exit codes: 0 no finding, 1 at least one error, 3 only warnings.
    """
    from bootstrap.cli.commands import run_doctor

    raise typer.Exit(run_doctor(as_json=as_json, bundle=bundle, force=force))


app.add_typer(jobs, name="jobs")
app.add_typer(limits.limits, name="limits")
app.add_typer(mails.mails, name="mails")
app.add_typer(mode, name="mode")
app.add_typer(users.users, name="users")
app.command("workers")(workers)

if (Path(__file__).parents[2] / "tools" / "commands.py").is_file():
    # A checkout. The wheel has no tools, and nothing in it needs them.
    importlib.import_module("tools.commands").add_commands(app)

if __name__ == "__main__":
    main()
