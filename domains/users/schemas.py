"""Bodies of the users' operations, and the rows that are read for them."""

from uuid import UUID

from pydantic import BaseModel, Field

from domains.users.public import NameText
from shared.languages import LanguageTag
from shared.schemas import RequestBody, RevisedBody, Row, UtcDatetime, validator_of


class UserRow(Row):
    """What is read of a user."""

    id: UUID
    email: str
    email_verified_at: UtcDatetime | None
    name: str | None
    locale: str | None
    created_at: UtcDatetime
    updated_at: UtcDatetime
    revision: int


class UserId(Row):
    """The id of a user."""

    id: UUID


class UserBody(RevisedBody):
    """A user."""

    id: UUID
    email: str = Field(description="The mail address.", examples=["ada@example.com"])
    email_verified: bool = Field(
        description="Whether the person has shown that mail to the address is theirs.", examples=[True]
    )
    email_verified_at: UtcDatetime | None = Field(description="When the person showed it.")
    name: str | None = Field(description="What the person is called.", examples=["Ada Lovelace"])
    locale: str | None = Field(description="The language of the person's mails.", examples=["en"])
    created_at: UtcDatetime
    updated_at: UtcDatetime

    @staticmethod
    def of(row: UserRow) -> "UserBody":
        """Show a row."""
        return _user_body({**row.__dict__, "email_verified": row.email_verified_at is not None})


_user_body = validator_of(UserBody)


class UserChange(RequestBody):
    """What a user changes about themself. A field that is absent stays; null empties it."""

    name: NameText | None = None
    locale: LanguageTag | None = None


class UserFilter(BaseModel):
    """Which users a list shows: all conditions together; None is no condition."""

    email: str | None = None
    q: str | None = None
    verified: bool | None = None
