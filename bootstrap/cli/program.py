"""How the commands of domains reach the composed program."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from bootstrap.cli.terminal import command_settings, exit_on_error
from bootstrap.runtime.current_operator import current_operator
from bootstrap.settings.required import required_settings

if TYPE_CHECKING:
    from bootstrap.container import TulouContainer
    from shared.audit import Actor

ServiceT = TypeVar("ServiceT")
T = TypeVar("T")


class CommandProgram:
    """Implements `shared.cli.options.Program`, with the settings of a relay: any role's container has them."""

    def ask(self, path: str, type_: type[ServiceT], question: Callable[[ServiceT], Awaitable[T]]) -> T:
        """Compose the program, await the answer, and close everything."""
        from bootstrap.cli.commands import composed
        from shared.wiring import provided_by

        async def action(container: "TulouContainer") -> T:
            return await question(provided_by(container, path, type_))

        settings = command_settings(required_settings("relay"))
        return exit_on_error(lambda: composed(settings, action, role="relay"))

    def operator(self) -> "Actor":
        """Return the operating system's user."""
        return current_operator()
