"""Options that several commands take, and how the commands of a domain reach the program."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

if TYPE_CHECKING:
    from shared.audit import Actor

MOST = 10_000
ServiceT = TypeVar("ServiceT")
T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
Limit = Annotated[int, typer.Option(min=1, max=MOST, help="Largest number of rows.")]
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Program(Protocol):
    """The program, as a domain's commands find it in `typer.Context.obj`. `bootstrap` implements it."""

    def ask(self, path: str, type_: type[ServiceT], question: Callable[[ServiceT], Awaitable[T]]) -> T:
        """Compose the program and return what `question` gets from the provider at `path`.

        A declared error ends the command: its sentence goes to stderr, and the exit code is 1.
        """
        ...

    def operator(self) -> "Actor":
        """Return who runs the command, for the audit log."""
        ...


def parse_duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `2h` or `7d`."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        message = f"{text!r} is not a duration. Write 90s, 30m, 2h or 7d."
        raise typer.BadParameter(message)
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
