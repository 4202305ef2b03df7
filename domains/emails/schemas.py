"""What the mail routes answer, and what the mail jobs are told."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domains.emails.public import EmailStatus, WhenUncertain
from shared.schemas import RequestBody, RevisedBody, Row, UtcDatetime


class DeliverEmail(BaseModel):
    """The payload of `emails.deliver`."""

    model_config = ConfigDict(frozen=True)

    email_id: UUID


class StatusCount(Row):
    """How many mails are in a state; `is_open`: it isn't their last."""

    status: EmailStatus
    is_open: bool
    number: int


class EmailRead(RevisedBody):
    """A mail and its fate. Its content is not shown: it may hold one-time secrets."""

    id: UUID
    status: EmailStatus = Field(
        description="`queued`, `sending`, `deferred` (the mail server put it off), `sent` (the mail server has it),"
        " `failed`, `cancelled`, or `uncertain`: the connection broke before the mail server confirmed the last byte."
    )
    recipient: str | None = Field(description="The address; null once its owner's data was erased.")
    recipient_name: str | None
    sender: str
    subject: str | None
    template: str = Field(description="Domain and name of the template.", examples=["auth/verify_email"])
    category: str | None
    when_uncertain: WhenUncertain = Field(description="What is done about an uncertain mail.")
    message_id: str = Field(description="The same in every attempt (RFC 5322, section 3.6.4).")
    owner_id: UUID | None = Field(description="Whose personal data it is.")
    request_id: str | None = Field(description="The request that caused it.")
    attempts: int = Field(description="Conversations with the mail server so far.")
    last_reply: str | None = Field(description="What the mail server said last.", examples=["250 2.0.0 Ok"])
    error: dict[str, Any] | None = Field(description="The problem that ended it.")
    created_at: UtcDatetime
    updated_at: UtcDatetime
    sent_at: UtcDatetime | None


Resolution = Literal["sent", "resend", "failed"]


class ResolveEmail(RequestBody):
    """What is to become of an uncertain mail."""

    resolution: Resolution = Field(
        alias="as",
        description="`sent`: it arrived. `resend`: send the same mail again. `failed`: it did not arrive, give it up.",
    )
