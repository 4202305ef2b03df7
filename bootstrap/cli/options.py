"""Common parts of `tulou users`, `limits` and `mails`: the operator, the person meant, exit codes.

Exit codes: 0 success, 1 failure, 2 wrong arguments, 3 no such person or mail, 4 ambiguous, 5 a rule forbids it. Each
but 0 prints a sentence to stderr.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from bootstrap.cli.terminal import command_settings, stop
from bootstrap.runtime.current_operator import current_operator
from shared.errors import AppError, NotFound

if TYPE_CHECKING:
    from bootstrap.container import TulouContainer
    from domains.users.schemas import AdministeredUser
    from shared.audit import Actor

UNKNOWN, AMBIGUOUS, REFUSED = 3, 4, 5
T = TypeVar("T")
Person = Annotated[str, typer.Argument(metavar="PERSON", show_default=False, help="An id or a mail address.")]


class Ambiguous(AppError):
    """A text that matches several people or mails, or only part of an address."""

    status = 409


def run_command(question: "Callable[[TulouContainer, Actor], Awaitable[T]]") -> T:
    """Compose the program, run `question`, and return its answer; an error is a message and an exit code."""
    from bootstrap.cli.commands import composed

    async def action(container: "TulouContainer") -> T:
        return await question(container, current_operator())

    try:
        return composed(command_settings(), action)
    except AppError as error:
        stop(error.detail, _code_of(error))


async def person_of(container: "TulouContainer", text: str) -> "AdministeredUser":
    """Return the one person with this id or address.

    Raises:
        UserNotFound: no person has this id or address, or with such a name.
        Ambiguous: it is only a part of addresses or names; the message lists the addresses.
    """
    from domains.users.errors import UserNotFound
    from domains.users.schemas import UserFilter
    from domains.users.service import UserService
    from shared.db.pagination import PageRequest
    from shared.wiring import provided_by

    users = provided_by(container, "users.service", UserService)
    unknown = UserNotFound(f"No person has the id or address {text}.")
    user_id = _as_id(text)
    if user_id is not None:
        try:
            return await users.read_administered(user_id)
        except UserNotFound:
            raise unknown from None
    filters = UserFilter(email=text) if "@" in text else UserFilter(q=text)
    found = (await users.page(PageRequest(limit=5), filters)).data
    if not found:
        raise unknown
    if filters.email is None:
        known = ", ".join(person.email for person in found)
        raise Ambiguous(f"{text} is neither an id nor an address. It is a part of: {known}.")
    return found[0]


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _code_of(error: AppError) -> int:
    if isinstance(error, NotFound):
        return UNKNOWN
    if isinstance(error, Ambiguous):
        return AMBIGUOUS
    return REFUSED if error.permanent else 1
