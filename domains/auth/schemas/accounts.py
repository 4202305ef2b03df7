"""Bodies of registration, passwords and accounts."""

from typing import Annotated

from pydantic import Field

from domains.auth.models import Role
from domains.users.public import EmailText, NameText
from shared.languages import LanguageTag
from shared.schemas import RequestBody, ResponseBody
from shared.text import composed_within

MAX_PASSWORD = 256


NewPassword = Annotated[
    str,
    Field(
        min_length=8,
        max_length=MAX_PASSWORD,
        description="8 to 256 characters of any kind; not one of the common ones, not the address.",
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password"},
    ),
    composed_within(MAX_PASSWORD),
]
GivenPassword = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PASSWORD,
        description="The present password.",
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password"},
    ),
    composed_within(MAX_PASSWORD),
]
OneTimeTokenText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="The token from the mail.",
        examples=["nRkYc0oV3bq1Yt4mB7Zs9w"],
    ),
]


class RegistrationCreate(RequestBody):
    """A registration."""

    email: EmailText
    password: NewPassword
    name: NameText | None = None
    locale: LanguageTag | None = None


class AddressRequest(RequestBody):
    """The address to send a mail to."""

    email: EmailText


class VerificationRequest(RequestBody):
    """A token from a mail."""

    token: OneTimeTokenText


class PasswordReset(RequestBody):
    """A token from a mail and the new password."""

    token: OneTimeTokenText
    password: NewPassword


class PasswordUpdate(RequestBody):
    """The current and the new password."""

    current_password: GivenPassword
    new_password: NewPassword = Field(examples=["a new horse battery staple"])


class AccountDelete(RequestBody):
    """The password, so that a stolen session can't delete an account."""

    password: GivenPassword


class AccountUpdate(RequestBody):
    """What administrators change about an account."""

    role: Role = Field(
        description="`admin`: administers this installation. `user`: does not.", examples=["admin"]
    )


class AcceptedBody(ResponseBody):
    """The same response for every address, so that it does not reveal which address has an account."""

    message: str = Field(
        "If this address can be written to, a mail is on its way.",
        description="The same for every address.",
        examples=["If this address can be written to, a mail is on its way."],
    )
