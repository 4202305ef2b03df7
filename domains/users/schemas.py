"""Bodies of the users' operations, and the rows that are read for them."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from domains.users.public import AccountInfo, NameText
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


class AdministeredUser(UserBody):
    """A user as administrators see one."""

    status: Literal["active", "disabled", "deleting"] = Field(
        description="`active`, `disabled` (can't sign in) or `deleting` (a job erases the account).",
        examples=["active"],
    )
    role: Literal["user", "admin"] = Field(
        description="`admin`: administers this installation.", examples=["user"]
    )
    last_sign_in_at: UtcDatetime | None = Field(
        description="When the person last signed in; null: never, or before this was recorded."
    )

    @staticmethod
    def seen(row: UserRow, account: AccountInfo | None) -> "AdministeredUser":
        """Show a row, and what is known of its account. Without one the user is being erased."""
        return _administered_user(
            {
                **row.__dict__,
                "email_verified": row.email_verified_at is not None,
                "status": account.status if account else "deleting",
                "role": account.role if account else "user",
                "last_sign_in_at": account.last_sign_in_at if account else None,
            }
        )


_administered_user = validator_of(AdministeredUser)


class UserChange(RequestBody):
    """What a user changes about themself. A field that is absent stays; null empties it."""

    name: NameText | None = None
    locale: LanguageTag | None = None


class UserFilter(BaseModel):
    """Which users a list shows: all conditions together; None is no condition."""

    email: str | None = None
    q: str | None = None
    verified: bool | None = None
