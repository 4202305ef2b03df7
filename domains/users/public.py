"""What other domains may use of users: a person, the lookup of users, and the rules of mail addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID

from email_validator import ValidatedEmail
from pydantic import AfterValidator, Field

from shared.mail_addresses import MAX_ADDRESS, read_address
from shared.text import LINE, TRIMMED, composed, composed_within

MAX_USER_NAME = 100


@dataclass(frozen=True, slots=True)
class Person:
    """A user, as other domains see one.

    Until the address is verified, `name` is None and `locale` is the default: a stranger may have chosen both, and no
    mail may carry them to the owner of the address.
    """

    id: UUID
    email: str
    email_verified: bool
    name: str | None
    locale: str | None


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A user to be added. `email` is an `EmailText`."""

    id: UUID
    email: str
    name: str | None = None
    locale: str | None = None
    email_verified: bool = False


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """Whether a user may sign in, and with which role.

    `status`: `active`, `disabled` or `deleting`. `role`: `user` or `admin`. `last_sign_in_at`: None if that was before
    the version that keeps it, or never.
    """

    status: str
    role: str
    last_sign_in_at: datetime | None


class UserDirectory(Protocol):
    """Lookup of users, and commands about them. Commands join the open transaction."""

    async def find(self, user_id: UUID) -> Person | None:
        """Return a user by id."""
        ...

    async def exists(self, user_id: UUID, owner_id: UUID) -> bool:
        """Tell whether there is such a user; every owner may refer to every user."""
        ...

    async def find_by_address(self, text: str) -> Person | None:
        """Return the user with this address, in any spelling; None also if the text is not an address."""
        ...

    async def find_or_add(self, new: NewPerson) -> Person:
        """Return the user who has this address, or add the new one; the id tells which.

        Runs the same statements in both cases, so that the time does not reveal whether the address is known.
        """
        ...

    async def replace(self, user_id: UUID, *, by: UUID, name: str | None, locale: str | None) -> None:
        """Replace an unverified user by a verified one with the same address and a new id.

        Data stored with the old id keeps that id, and is erased.
        """
        ...

    async def unverified(self, *, before: datetime, after: UUID, most: int) -> list[UUID]:
        """Return up to `most` users with ids above `after` whose address has been unverified since `before`, by id.

        Users who registered with a version that kept unverified accounts count as registered at the upgrade.
        """
        ...

    async def change_address(self, user_id: UUID, email: str) -> bool:
        """Give a user another address, an `EmailText`; return False if another user has it, or no user has this id.

        The new address counts as verified if the old one did.
        """
        ...

    async def lock(self, user_id: UUID) -> None:
        """Lock a user until the open transaction ends, so that a decision can rely on the user's state.

        Raises:
            PreconditionFailed: the user was changed since the client read it.
        """
        ...


class AccountDirectory(Protocol):
    """Status and role of accounts; implemented by the domain that signs them in."""

    async def of_users(self, user_ids: Sequence[UUID]) -> Mapping[UUID, AccountInfo]:
        """Return the account of each of these users; users whose account was deleted are missing."""
        ...


def normalised_address(text: str) -> str:
    """Return the form of an address by which users are told apart: two spellings of one mailbox are one user.

    A local part outside ASCII is refused: few mail servers take one, and look-alikes would be other users. It is
    lower-cased: RFC 5321 (section 2.4) would tell capitals apart, no mail provider does, and
    people mix them. The domain is in ASCII (IDNA 2008), lower-cased. Dots and `+tags` stay: some providers tell
    them apart.
    """
    return _normalised(read_address(text))


def key_of_address(text: str) -> str:
    """Return the normalised address, or the folded text if it is not an address: a key to count attempts by."""
    try:
        return normalised_address(text)
    except ValueError:
        return composed(text[:MAX_ADDRESS]).strip().casefold()


def key_of_mailbox(text: str) -> str:
    """Return `key_of_address` without the `+tag` of the local part: one mailbox receives the mail for all tags.

    Only for counters. Dots stay, because only some providers ignore them.
    """
    local, at, domain = key_of_address(text).rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


def _as_given(text: str) -> str:
    return read_address(text).normalized


def _normalised(address: ValidatedEmail) -> str:
    return f"{address.local_part.lower()}@{address.ascii_domain.lower()}"


EmailText = Annotated[
    str,
    Field(
        max_length=254,
        description="A mail address.",
        examples=["ada@example.com"],
        json_schema_extra={"format": "email"},
    ),
    AfterValidator(_as_given),
]
"""A mail address in a request body, without a display name."""

NameText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_USER_NAME,
        description="Name of the person.",
        examples=["Ada Lovelace"],
    ),
    composed_within(MAX_USER_NAME),
    TRIMMED,
    LINE,
]
