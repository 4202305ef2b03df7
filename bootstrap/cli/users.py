"""`tulou users`: list, show, change and erase accounts. Exit codes: see `bootstrap.cli.options`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bootstrap.cli.options import Person, person_of, run_command
from shared.cli.options import AsJson, Limit, Yes

if TYPE_CHECKING:
    from bootstrap.container import TulouContainer
    from domains.auth.service.administration import AdministrationService
    from domains.users.schemas import AdministeredUser
    from shared.audit import Actor

    Act = Callable[[AdministrationService, Actor, AdministeredUser], Awaitable[Any]]

users = typer.Typer(no_args_is_help=True, help="List people; disable, erase and change accounts.")


@users.command("list")
def list_users(
    *,
    q: Annotated[str | None, typer.Option("--search", "-s", help="Part of the address or the name.")] = None,
    verified: Annotated[
        bool | None, typer.Option("--verified/--unverified", help="Only such addresses.")
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List people, the latest first."""
    from bootstrap.cli.reports import print_people
    from domains.users.schemas import UserFilter
    from domains.users.service import UserService
    from shared.db.pagination import PageRequest
    from shared.wiring import provided_by

    async def listed(container: "TulouContainer", _actor: "Actor") -> "list[AdministeredUser]":
        service = provided_by(container, "users.service", UserService)
        return (await service.page(PageRequest(limit=limit), UserFilter(q=q, verified=verified))).data

    print_people(run_command(listed), as_json=as_json)


@users.command()
def show(person: Person, *, as_json: AsJson = False) -> None:
    """Show a person's account, sessions, files, mails and limits."""
    from bootstrap.cli.overview import facts_of
    from bootstrap.cli.reports import print_facts

    async def looked_up(container: "TulouContainer", _actor: "Actor") -> dict[str, Any]:
        return await facts_of(container, await person_of(container, person))

    print_facts(run_command(looked_up), as_json=as_json)


@users.command()
def disable(person: Person, *, as_json: AsJson = False) -> None:
    """Disable an account and end its sessions, from the next request on."""
    _act(person, lambda to, actor, user: to.disable(actor, user.id), "{} is disabled.", as_json=as_json)


@users.command()
def enable(person: Person, *, as_json: AsJson = False) -> None:
    """Enable a disabled account; its owner has to sign in again."""
    _act(person, lambda to, actor, user: to.enable(actor, user.id), "{} is enabled.", as_json=as_json)


@users.command()
def erase(person: Person, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Erase an account, disabled or not. A job erases its files, mails and jobs."""
    if not yes:
        named = run_command(lambda container, _: person_of(container, person))
        question = f"Erase {named.email} ({named.id}) with all files and mails? This can't be undone."
        typer.confirm(question, abort=True, err=True)
    _act(person, lambda to, actor, user: to.erase(actor, user.id), "{} is being erased.", as_json=as_json)


@users.command("set-email")
def set_email(
    person: Person,
    email: Annotated[str, typer.Argument(show_default=False, help="The new address.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Change the address of an account. Every session ends, and the old address gets a mail if it was verified."""
    _act(
        person,
        lambda to, actor, user: to.set_email(actor, user.id, email),
        "{} has the address {new} now.",
        as_json=as_json,
        new=email,
    )


@users.command("set-role")
def set_role(
    person: Person,
    role: Annotated[Literal["user", "admin"], typer.Argument(show_default=False, help="The new role.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a person an administrator, or an ordinary user again, from the next request on."""
    from domains.auth.models import Role

    _act(
        person,
        lambda to, actor, user: to.set_role(actor, user.id, Role(role)),
        "{} has the role {new} now.",
        as_json=as_json,
        new=role,
    )


@users.command("end-sessions")
def end_sessions(person: Person, *, as_json: AsJson = False) -> None:
    """End all sessions of a person at once."""
    _act(
        person,
        lambda to, actor, user: to.end_sessions(actor, user.id),
        "All sessions of {} are ended.",
        as_json=as_json,
    )


@users.command("send-reset")
def send_reset(person: Person, *, as_json: AsJson = False) -> None:
    """Send a person the mail for choosing a new password."""
    _act(
        person,
        lambda to, actor, user: to.send_reset(actor, user.id),
        "A mail to {} is on its way.",
        as_json=as_json,
    )


def _act(person: str, act: "Act", said: str, *, as_json: bool, new: str = "") -> None:
    """Change a person, then print the new state, or a sentence with their address and the `new` value."""
    from bootstrap.cli.reports import print_act
    from domains.auth.service.administration import AdministrationService
    from domains.users.errors import UserNotFound
    from shared.wiring import provided_by

    async def done(container: "TulouContainer", actor: "Actor") -> "tuple[str, AdministeredUser]":
        user = await person_of(container, person)
        await act(provided_by(container, "auth.administration", AdministrationService), actor, user)
        try:
            return user.email, await person_of(container, str(user.id))
        except UserNotFound:  # a worker has erased them already
            return user.email, user.model_copy(update={"status": "deleting"})

    email, now = run_command(done)
    print_act(said.format(email, new=new), now, as_json=as_json)
