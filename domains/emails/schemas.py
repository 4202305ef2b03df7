"""Bodies and filters of the mail routes, and rows."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from domains.emails.public import EmailStatus, WhenUncertain
from shared.schemas import RequestBody, RevisedBody, Row, UtcDatetime


class StatusCountRow(Row):
    """The number of mails in a state, and the age of the oldest in seconds. `is_open`: the state is not final."""

    status: EmailStatus
    is_open: bool
    number: int
    oldest: float


class OwnedEmailRow(Row):
    """A mail and its owner."""

    id: UUID
    owner_id: UUID | None


class EmailFilter(BaseModel):
    """Conditions of a list of mails, all of which must hold."""

    status: EmailStatus | None = Field(None, description="Only mails in this state.")
    recipient: str | None = Field(
        None,
        max_length=320,
        description="Only mails to this address, in upper or lower case.",
        examples=["ada@example.com"],
    )
    owner_id: UUID | None = Field(None, description="Only mails of the person with this id.")


class EmailBody(RevisedBody):
    """A mail and what became of it. Its content is not shown: it may hold one-time secrets."""

    id: UUID
    status: EmailStatus = Field(
        description="`queued`, `sending`, `deferred` (the mail server asked to try later),"
        " `sent` (the mail server accepted it), `failed`, `cancelled` (with its job, or when its"
        " owner's data was erased), or `uncertain`: the connection broke before the mail server confirmed the last"
        " byte.",
        examples=["sent"],
    )
    recipient: str | None = Field(
        description="The address; null after its owner's data was erased.", examples=["ada@example.com"]
    )
    recipient_name: str | None = Field(description="The display name.", examples=["Ada Lovelace"])
    sender: str = Field(description="The sender.", examples=["Tulou <no-reply@example.com>"])
    subject: str | None = Field(
        description="The subject; null after its owner's data was erased.", examples=["Confirm your address"]
    )
    template: str = Field(description="Domain and name of the template.", examples=["auth/verify_email"])
    simplified: bool = Field(
        description="Whether it was sent without its display name, because no header can hold that name.",
        examples=[False],
    )
    category: str | None = Field(
        description="The category that the template's domain chose.", examples=["security"]
    )
    when_uncertain: WhenUncertain = Field(description="What happens if the mail becomes uncertain.")
    message_id: str = Field(
        description="The same in every attempt (RFC 5322, section 3.6.4).",
        examples=["<0199c3f0@example.com>"],
    )
    owner_id: UUID | None = Field(description="The person whose personal data it is.")
    request_id: str | None = Field(
        description="The request that caused it.", examples=["0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"]
    )
    attempts: int = Field(description="SMTP sessions with the mail server so far.")
    last_reply: str | None = Field(
        description="The last reply of the mail server.", examples=["250 2.0.0 Ok"]
    )
    error: dict[str, Any] | None = Field(
        description="The problem that ended it: `title`, `status`, `detail` and `code`.",
        examples=[
            {
                "title": "The input can't be accepted",
                "status": 422,
                "detail": "The mail server refuses this recipient.",
                "code": "emails.refused",
            }
        ],
    )
    created_at: UtcDatetime
    updated_at: UtcDatetime
    sent_at: UtcDatetime | None = Field(description="When the mail server accepted it.")


Resolution = Literal["sent", "resend", "failed"]


class ResolveEmail(RequestBody):
    """A decision about an uncertain mail."""

    resolution: Resolution = Field(
        alias="as",
        description="`sent`: it arrived. `resend`: send the same mail again. `failed`: it did not arrive, give it up.",
        examples=["resend"],
    )
