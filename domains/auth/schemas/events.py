"""Security events, as they are read, filtered and shown."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from shared.schemas import ResponseBody, Row, UtcDatetime


class SecurityEventRow(Row):
    """A line of the audit log."""

    id: UUID
    event: str
    user_id: UUID | None
    session_id: UUID | None
    address: str | None
    agent: str | None
    request_id: str | None
    details: dict[str, Any]
    created_at: UtcDatetime


class SecurityEventFilter(BaseModel):
    """Which events are shown: all conditions together; None is no condition. `until` itself is left out."""

    kind: str | None = None
    user_id: UUID | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class SecurityEventBody(ResponseBody):
    """A line of the audit log."""

    id: UUID
    kind: str = Field(
        description="What happened. There may be more kinds in later versions.", examples=["login_failed"]
    )
    user_id: UUID | None = Field(
        description="The user that the event is about; null: an address without an account."
    )
    session_id: UUID | None = Field(description="The session that it is about.")
    address: str | None = Field(
        description="The network address that the request came from; null: a job or the command line.",
        examples=["192.0.2.7"],
    )
    agent: str | None = Field(description="The program that sent it.", examples=["curl/8.10"])
    request_id: str | None = Field(
        description="The request.", examples=["0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"]
    )
    details: dict[str, Any] = Field(
        description="Further details: `by` is the administrator who did it, `operator` the user and host of the"
        " command line.",
        examples=[{"by": "0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42"}],
    )
    created_at: UtcDatetime

    @classmethod
    def of(cls, row: SecurityEventRow) -> "SecurityEventBody":
        """Return the body of a row."""
        return cls(kind=row.event, **row.model_dump(exclude={"event"}))
