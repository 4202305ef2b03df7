"""What the mail routes answer."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from domains.emails.public import EmailStatus, WhenUncertain
from shared.schemas import RequestBody, RevisedBody, Row, UtcDatetime


class StatusCount(Row):
    """How many mails are in a state, and the age of the oldest in seconds; `is_open`: it isn't their last state."""

    status: EmailStatus
    is_open: bool
    number: int
    oldest: float


class NumberRow(Row):
    """A count."""

    number: int


class EmailRead(RevisedBody):
    """A mail and its fate. Its content is not shown: it may hold one-time secrets."""

    id: UUID
    status: EmailStatus = Field(
        description="`queued`, `sending`, `deferred` (the mail server put it off), `sent` (the mail server has it),"
        " `failed`, `cancelled` (its job was, or its owner's data was erased), or `uncertain`: the connection broke"
        " before the mail server confirmed the last byte.",
        examples=["sent"],
    )
    recipient: str | None = Field(
        description="The address; null once its owner's data was erased.", examples=["ada@example.com"]
    )
    recipient_name: str | None = Field(description="The display name.", examples=["Ada Lovelace"])
    sender: str = Field(description="From whom it is.", examples=["Tulou <no-reply@example.com>"])
    subject: str | None = Field(
        description="Its subject; null once its owner's data was erased.", examples=["Confirm your address"]
    )
    template: str = Field(description="Domain and name of the template.", examples=["auth/verify_email"])
    simplified: bool = Field(
        description="Whether it went without its display name, because no header could be written with it.",
        examples=[False],
    )
    category: str | None = Field(description="What it is about.", examples=["security"])
    when_uncertain: WhenUncertain = Field(description="What is done about an uncertain mail.")
    message_id: str = Field(
        description="The same in every attempt (RFC 5322, section 3.6.4).",
        examples=["<0199c3f0@example.com>"],
    )
    owner_id: UUID | None = Field(description="Whose personal data it is.")
    request_id: str | None = Field(
        description="The request that caused it.", examples=["0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"]
    )
    attempts: int = Field(description="SMTP sessions with the mail server so far.")
    last_reply: str | None = Field(description="What the mail server said last.", examples=["250 2.0.0 Ok"])
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
    sent_at: UtcDatetime | None = Field(description="When the mail server took it.")


Resolution = Literal["sent", "resend", "failed"]


class ResolveEmail(RequestBody):
    """What is to become of an uncertain mail."""

    resolution: Resolution = Field(
        alias="as",
        description="`sent`: it arrived. `resend`: send the same mail again. `failed`: it did not arrive, give it up.",
        examples=["resend"],
    )
