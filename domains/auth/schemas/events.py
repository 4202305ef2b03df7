"""Security events, as they are read, filtered and shown."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from shared.field_types import Timestamp
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

    kind: str | None = Field(
        None,
        max_length=100,
        description="Only events of this kind.",
        examples=["login_failed", "role_changed"],
    )
    user_id: UUID | None = Field(None, description="Only events about this user.")
    address: str | None = Field(
        None, max_length=64, description="Only events from this network address.", examples=["192.0.2.7"]
    )
    since: Timestamp | None = Field(
        None, description="Only events from this moment on.", examples=["2026-03-14T00:00:00Z"]
    )
    until: Timestamp | None = Field(
        None, description="Only events before this moment.", examples=["2026-03-15T00:00:00Z"]
    )


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
