"""Sessions, as they are read and shown."""

from uuid import UUID

from pydantic import Field

from shared.schemas import ResponseBody, Row, UtcDatetime


class SessionRow(Row):
    """A session as it is read."""

    id: UUID
    user_id: UUID
    address: str
    network: str
    agent: str
    created_at: UtcDatetime
    last_used_at: UtcDatetime


class SessionBody(ResponseBody):
    """A session: one sign-in, on one device."""

    id: UUID
    address: str = Field(description="Network address that began it.", examples=["192.0.2.7"])
    agent: str = Field(description="The program it was begun with.", examples=["curl/8.10"])
    created_at: UtcDatetime
    last_used_at: UtcDatetime = Field(description="When it was last used; exact to about a minute.")
    current: bool = Field(description="Whether this very request belongs to it.", examples=[True])

    @classmethod
    def of(cls, row: SessionRow, *, current: UUID | None) -> "SessionBody":
        """Return the body of a row; `current`: the session of the request."""
        return cls(**row.model_dump(exclude={"user_id", "network"}), current=row.id == current)
