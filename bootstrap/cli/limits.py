"""`tulou limits`: limits of single people, and what is counted against them. Exit codes: see `options`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bootstrap.cli.options import Person, person_of, run_command
from shared.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bootstrap.container import TulouContainer
    from domains.auth.schemas.limits import AllowanceRow, AttemptCounter
    from domains.users.schemas import AdministeredUser
    from shared.audit import Actor

limits = typer.Typer(no_args_is_help=True, help="Show, set and reset limits of single people.")


@limits.command("list")
def list_limits(
    person: Annotated[
        str | None,
        typer.Argument(
            metavar="[PERSON]", show_default=False, help="An id or a mail address; by default all people."
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List all people with limits of their own, or one person's limits and current counts."""
    from bootstrap.cli.limit_reports import print_limits, print_limits_of
    from domains.auth.service.allowances import AllowanceService
    from domains.auth.service.lockouts import LockoutService
    from shared.wiring import provided_by

    async def list_all(container: "TulouContainer", _actor: "Actor") -> "list[AllowanceRow]":
        return await provided_by(container, "auth.allowances", AllowanceService).list_all()

    async def of_one(
        container: "TulouContainer", _actor: "Actor"
    ) -> "tuple[AdministeredUser, AllowanceRow, Sequence[AttemptCounter]]":
        user = await person_of(container, person or "")
        own = await provided_by(container, "auth.allowances", AllowanceService).find(user.id)
        return user, own, await provided_by(container, "auth.lockouts", LockoutService).counters(user.id)

    if person is None:
        print_limits(run_command(list_all), as_json=as_json)
    else:
        print_limits_of(*run_command(of_one), as_json=as_json)


@limits.command()
def clear(person: Person, *, as_json: AsJson = False) -> None:
    """Delete the counts of wrong passwords and requested mails of a person, who can try again at once."""
    from bootstrap.cli.reports import print_act
    from domains.auth.service.lockouts import LockoutService
    from shared.wiring import provided_by

    async def cleared(container: "TulouContainer", actor: "Actor") -> "AdministeredUser":
        user = await person_of(container, person)
        await provided_by(container, "auth.lockouts", LockoutService).clear(actor, user.id)
        return user

    user = run_command(cleared)
    print_act(f"Nothing is counted against {user.email} any more.", user, as_json=as_json)


@limits.command("set")
def set_limits(
    person: Person,
    *,
    max_bytes: Annotated[
        int | None, typer.Option("--bytes", min=0, max=2**53 - 1, help="Bytes that they may store.")
    ] = None,
    max_files: Annotated[
        int | None, typer.Option("--files", min=0, max=1 << 40, help="Files that they may store.")
    ] = None,
    max_requests: Annotated[
        int | None, typer.Option("--requests", min=1, max=1_000_000, help="Requests per minute.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set the limits of one person; the settings apply where a limit is left out."""
    from bootstrap.cli.reports import print_act
    from domains.auth.schemas.limits import LimitOverrides
    from domains.auth.service.allowances import AllowanceService
    from shared.wiring import provided_by

    new_limits = LimitOverrides(max_bytes=max_bytes, max_files=max_files, max_requests=max_requests)

    async def replaced(container: "TulouContainer", actor: "Actor") -> "tuple[str, AllowanceRow]":
        user = await person_of(container, person)
        service = provided_by(container, "auth.allowances", AllowanceService)
        return user.email, await service.replace(actor, user.id, new_limits)

    email, now = run_command(replaced)
    print_act(f"The limits of {email} are set.", now, as_json=as_json)
