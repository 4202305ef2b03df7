"""`tulou mode`: show the mode of the program and change it for all processes, without a restart.

Exit codes: 0 success, 1 failure (a sentence says why), 2 wrong arguments.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from bootstrap.cli.terminal import command_settings, exit_on_error
from bootstrap.settings.required import required_settings
from shared.cli.options import AsJson, parse_duration
from shared.text import fits_line

if TYPE_CHECKING:
    from bootstrap.container import TulouContainer
    from bootstrap.settings.model import Settings
    from domains.modes.schemas import ModeRow
    from domains.modes.service import ModeService

mode = typer.Typer(
    no_args_is_help=True,
    help="Switch to read-only or maintenance mode and back, without a restart.",
)
LONGEST_MESSAGE = 300
T = TypeVar("T")


def parse_message(text: str) -> str:
    """Read the message to clients, one line."""
    if not text.strip() or len(text) > LONGEST_MESSAGE or not fits_line(text):
        message = f"Write one line of up to {LONGEST_MESSAGE} characters."
        raise typer.BadParameter(message)
    return text.strip()


@mode.command()
def show(*, as_json: AsJson = False) -> None:
    """Show the mode of all processes and the mode in these settings; the stricter one applies."""
    settings = command_settings(required_settings("relay"))
    _print(settings, _run_command(settings, lambda modes: modes.stored()), as_json=as_json)


@mode.command("set")
def set_mode(
    name: Annotated[
        Literal["normal", "read-only", "maintenance"], typer.Argument(metavar="MODE", show_default=False)
    ],
    *,
    message: Annotated[
        str | None,
        typer.Option(parser=parse_message, metavar="TEXT", help="The message to clients, in `detail`."),
    ] = None,
    until: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration,
            metavar="TIME",
            help="Expected end: 90s, 30m, 2h, 7d from now. Clients get it in Retry-After; the mode"
            " stays until it is set again.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set the mode of all processes: `normal`, `read-only` or `maintenance`. They change within seconds."""
    from bootstrap.runtime.current_operator import current_operator
    from domains.modes.public import Mode

    actor = current_operator()
    settings = command_settings(required_settings("relay"))
    changed = _run_command(
        settings, lambda modes: modes.change(Mode(name), actor, message=message, lasts=until)
    )
    _print(settings, changed, as_json=as_json)


def _print(settings: "Settings", stored: "ModeRow", *, as_json: bool) -> None:
    if as_json:
        shown = {**stored.model_dump(mode="json"), "setting": settings.mode}
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return
    until = f" until {stored.until:%Y-%m-%d %H:%M:%S}Z" if stored.until else ""
    said = f', with the message "{stored.message}"' if stored.message else ""
    sys.stdout.write(f"The mode of all processes is {stored.mode.value}{until}{said}.\n")
    sys.stdout.write(f"They follow within {settings.mode_interval:g} s (TULOU_MODE_INTERVAL).\n")
    if settings.mode != "normal":
        sys.stdout.write(
            f"Processes with TULOU_MODE={settings.mode}, as here, are at least {settings.mode}.\n"
        )


def _run_command(settings: "Settings", question: "Callable[[ModeService], Awaitable[T]]") -> T:
    """Compose the program and run `question`."""
    from bootstrap.cli.commands import composed

    async def action(container: "TulouContainer") -> T:
        return await question(container.modes.service())

    return exit_on_error(lambda: composed(settings, action, role="relay"))
