"""Bodies of the operations on users, which are also what is read of the table."""

from typing import Literal

from pydantic import BaseModel, Field, computed_field

from domains.users.public import AccountInfo, NameText
from shared.languages import LanguageTag
from shared.schemas import RequestBody, StoredBody, UtcDatetime, validator_of


class UserUpdate(RequestBody):
    """What changes of a user. A field that is absent stays; null empties it."""

    name: NameText | None = None
    locale: LanguageTag | None = None


class UserBody(StoredBody):
    """A user."""

    email: str = Field(description="The mail address.", examples=["ada@example.com"])
    email_verified_at: UtcDatetime | None = Field(description="When the person showed it.")
    name: str | None = Field(description="What the person is called.", examples=["Ada Lovelace"])
    locale: str | None = Field(description="The language of the person's mails.", examples=["en"])

    @computed_field(  # type: ignore[prop-decorator]  # mypy knows no decorated properties
        description="Whether the person has shown that mail to the address is theirs.", examples=[True]
    )
    @property
    def email_verified(self) -> bool:
        """Whether the address is verified."""
        return self.email_verified_at is not None


class AdministeredUser(UserBody):
    """A user with the state of the account, as administrators see it."""

    status: Literal["active", "disabled", "deleting"] = Field(
        description="`active`, `disabled` (can't sign in) or `deleting` (a job erases the account).",
        examples=["active"],
    )
    role: Literal["user", "admin"] = Field(
        description="`admin`: administers this installation.", examples=["user"]
    )
    last_sign_in_at: UtcDatetime | None = Field(
        description="Time of the last sign-in; null: never, or before this was recorded."
    )

    @staticmethod
    def of(user: UserBody, account: AccountInfo | None) -> "AdministeredUser":
        """Add the account to a user. Without one the user is being erased."""
        return _administered_user(
            {
                **user.__dict__,
                "status": account.status if account else "deleting",
                "role": account.role if account else "user",
                "last_sign_in_at": account.last_sign_in_at if account else None,
            }
        )


_administered_user = validator_of(AdministeredUser)


class UserFilter(BaseModel):
    """Which users a list shows: all conditions together; None is no condition."""

    email: str | None = Field(
        None,
        max_length=254,
        description="Exactly this address, in any spelling.",
        examples=["ada@example.com"],
    )
    q: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Part of the address or of the name.",
        examples=["ada"],
    )
    verified: bool | None = Field(None, description="Whether the address is verified.", examples=[True])
