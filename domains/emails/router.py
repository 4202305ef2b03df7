"""HTTP of mails, for administrators."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from domains.emails.errors import EmailNotFound, EmailNotOnHold, EmailTooOld
from domains.emails.schemas import EmailBody, EmailFilter, ResolveEmail
from domains.emails.service.emails import EmailService
from domains.emails.service.resolving import ResolutionService
from shared.audit import ActingAdmin
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.authentication import Admin
from shared.http.response_headers import sends
from shared.http.routing import Router, problems
from shared.wiring import accessor

Emails = Annotated[EmailService, Depends(accessor("emails.service", EmailService))]
Filters = Annotated[EmailFilter, Query()]
Paging = Annotated[PageRequest, page_request("created_at")]
Resolutions = Annotated[ResolutionService, Depends(accessor("emails.resolution", ResolutionService))]

router = Router(prefix="/v1/emails", tags=["emails"])
RETRY_AFTER = "1"


@router.get("", summary="List mails")
async def list_emails(
    request: Request, response: Response, _admin: Admin, emails: Emails, paging: Paging, filters: Filters
) -> Page[EmailBody]:
    """Return a page of all mails and what became of them, the newest first. For administrators."""
    return link_next(request, response, await emails.page(paging, filters))


@router.get("/{email_id}", summary="Read a mail", responses=problems(EmailNotFound))
async def read_email(_admin: Admin, emails: Emails, email_id: UUID) -> EmailBody:
    """Return a mail without its content, which may hold one-time secrets. For administrators."""
    return await emails.read(email_id)


@router.post(
    "/{email_id}/resolve",
    summary="Resolve an uncertain mail",
    responses={
        202: {
            "model": EmailBody,
            "description": "It will be sent again; follow it at `Location`.",
            "headers": sends("Location", "Retry-After"),
        },
        **problems(EmailNotFound, EmailNotOnHold, EmailTooOld),
    },
)
async def resolve_email(
    response: Response, admin: ActingAdmin, resolutions: Resolutions, email_id: UUID, decision: ResolveEmail
) -> EmailBody:
    """Resolve an uncertain mail: the connection broke after its last byte, before the server confirmed it.

    Look into the mail server's log for its `message_id`. `sent` and `failed` end the mail and erase its content;
    `resend` sends the same bytes with the same Message-ID again. For administrators.
    """
    resolved = await resolutions.resolve(email_id, decision.resolution, admin)
    if decision.resolution == "resend":
        response.status_code = 202
        response.headers["Location"] = f"/v1/emails/{email_id}"
        response.headers["Retry-After"] = RETRY_AFTER
    return resolved
