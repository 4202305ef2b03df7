"""`tulou mails`: list mails, and resolve uncertain ones. Exit codes: see `options`."""

from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from bootstrap.cli.options import Ambiguous, person_of, run_command
from shared.cli.options import AsJson, Limit, Yes

if TYPE_CHECKING:
    from bootstrap.container import TulouContainer
    from domains.emails.schemas import EmailBody
    from shared.audit import Actor

mails = typer.Typer(no_args_is_help=True, help="List mails, and resolve those whose delivery is uncertain.")
Status = Literal["queued", "sending", "sent", "deferred", "uncertain", "failed", "cancelled"]
Mail = Annotated[
    str,
    typer.Argument(metavar="MAIL", show_default=False, help="The id of a mail, or its recipient's address."),
]


@mails.command("list")
def list_mails(
    *,
    status: Annotated[Status | None, typer.Option(help="Only mails in this state.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only mails to this address.")] = None,
    person: Annotated[str | None, typer.Option(help="Only mails of this person: an id or address.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List mails, the latest first. Their contents are never shown."""
    from bootstrap.cli.reports import print_mails
    from domains.emails.public import EmailStatus
    from domains.emails.schemas import EmailFilter
    from domains.emails.service.emails import EmailService
    from shared.db.pagination import PageRequest
    from shared.wiring import provided_by

    async def listed(container: "TulouContainer", _actor: "Actor") -> "list[EmailBody]":
        owner_id = (await person_of(container, person)).id if person else None
        chosen = EmailStatus(status) if status else None
        filters = EmailFilter(status=chosen, recipient=recipient, owner_id=owner_id)
        emails = provided_by(container, "emails.service", EmailService)
        return (await emails.page(PageRequest(limit=limit), filters)).data

    print_mails(run_command(listed), as_json=as_json)


@mails.command()
def resolve(
    mail: Mail,
    *,
    resolution: Annotated[
        Literal["sent", "resend", "failed"],
        typer.Option(
            "--as",
            show_default=False,
            help="`sent`: it arrived; `resend`: send it again; `failed`: give it up.",
        ),
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Resolve a mail whose delivery is uncertain, because the connection broke after its last byte."""
    from bootstrap.cli.reports import print_act
    from domains.emails.service.resolving import ResolutionService
    from shared.wiring import provided_by

    async def resolved(container: "TulouContainer", actor: "Actor") -> "EmailBody":
        chosen = await _mail_of(container, mail)
        resolutions = provided_by(container, "emails.resolution", ResolutionService)
        return await resolutions.resolve(chosen.id, resolution, actor)

    if not yes:
        chosen = run_command(lambda container, _: _mail_of(container, mail))
        question = f"Resolve {chosen.message_id} to {chosen.recipient} as {resolution}? This can't be undone."
        typer.confirm(question, abort=True, err=True)
    now = run_command(resolved)
    print_act(f"Mail {now.id} to {now.recipient} is {now.status.value}.", now, as_json=as_json)


async def _mail_of(container: "TulouContainer", text: str) -> "EmailBody":
    """Return the mail with this id, or the only uncertain one to this address. Raises EmailNotFound, Ambiguous."""
    from domains.emails.errors import EmailNotFound
    from domains.emails.public import EmailStatus
    from domains.emails.schemas import EmailFilter
    from domains.emails.service.emails import EmailService
    from shared.db.pagination import PageRequest
    from shared.wiring import provided_by

    service = provided_by(container, "emails.service", EmailService)
    if "@" not in text:
        try:
            return await service.read(UUID(text))
        except (ValueError, EmailNotFound):
            raise EmailNotFound(f"No mail has the id {text}.") from None
    filters = EmailFilter(status=EmailStatus.UNCERTAIN, recipient=text)
    found = await service.page(PageRequest(limit=5), filters)
    if not found.data:
        raise EmailNotFound(f"No uncertain mail went to {text}.")
    if len(found.data) > 1:
        known = ", ".join(str(mail.id) for mail in found.data)
        raise Ambiguous(f"Several uncertain mails went to {text}: {known}.")
    return found.data[0]
