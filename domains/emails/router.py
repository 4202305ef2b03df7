"""What administrators see of mails over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from domains.emails.errors import EmailNotFound, EmailNotOnHold, EmailTooOld
from domains.emails.public import EmailStatus
from domains.emails.schemas import EmailRead, ResolveEmail
from domains.emails.service.emails import EmailService
from domains.emails.service.resolving import ResolutionService
from shared.audit import ActingAdmin
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.middleware.response_headers import sends
from shared.http.routing import Router, problems
from shared.identity import Admin
from shared.wiring import accessor

Emails = Annotated[EmailService, Depends(accessor("emails.service", EmailService))]
Resolutions = Annotated[ResolutionService, Depends(accessor("emails.resolution", ResolutionService))]

router = Router(prefix="/v1/emails", tags=["emails"])
RETRY_AFTER = "1"


@router.get("", summary="List mails")
async def list_emails(
    _admin: Admin,
    emails: Emails,
    page: Annotated[PageRequest, page_request("created_at")],
    *,
    request: Request,
    response: Response,
    status: Annotated[EmailStatus | None, Query(description="Only mails in this state.")] = None,
    recipient: Annotated[
        str | None,
        Query(
            max_length=320,
            description="Only mails to this address, in upper or lower case.",
            examples=["ada@example.com"],
        ),
    ] = None,
    owner_id: Annotated[UUID | None, Query(description="Only mails of the person with this id.")] = None,
) -> Page[EmailRead]:
    """Return what became of the mails that this installation sent, the newest first. For administrators."""
    found = await emails.find(page, status=status, recipient=recipient, owner_id=owner_id)
    link_next(request, response, found)
    return found


@router.get("/{email_id}", summary="Read a mail", responses=problems(EmailNotFound))
async def read_email(_admin: Admin, emails: Emails, email_id: UUID) -> EmailRead:
    """Return one mail's fate. Its content is not shown: it may hold one-time secrets. For administrators."""
    return await emails.read(email_id)


@router.post(
    "/{email_id}/resolve",
    summary="Decide about an uncertain mail",
    responses={
        202: {
            "model": EmailRead,
            "description": "It will be sent again; `Location` tells what becomes of it.",
            "headers": sends("Location", "Retry-After"),
        },
        **problems(EmailNotFound, EmailNotOnHold, EmailTooOld),
    },
)
async def resolve_email(
    admin: ActingAdmin, resolutions: Resolutions, email_id: UUID, decision: ResolveEmail, response: Response
) -> EmailRead:
    """Resolve a mail on hold: the connection broke after its last byte, so nobody knows whether the server took it.

    Look into the mail server's log for its `message_id`. `sent` and `failed` end the mail and erase its content;
    `resend` sends the same bytes with the same Message-ID again. For administrators.
    """
    resolved = await resolutions.resolve(email_id, decision.resolution, admin)
    if decision.resolution == "resend":
        response.status_code = 202
        response.headers["Location"] = f"/v1/emails/{email_id}"
        response.headers["Retry-After"] = RETRY_AFTER
    return resolved
