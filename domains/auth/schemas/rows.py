"""Rows that are read of accounts, sessions, registrations and one-time tokens."""

from uuid import UUID

from domains.auth.models import AccountStatus, Role
from shared.schemas import Row, UtcDatetime


class SignInRow(Row):
    """An account as it is read to check a password."""

    user_id: UUID
    password_hash: str
    credentials_version: int
    registration_id: UUID | None
    status: AccountStatus
    role: Role

    @property
    def usable_hash(self) -> str | None:
        """The hash to check against; None if the account is not active."""
        return self.password_hash if self.status is AccountStatus.ACTIVE else None


class LogInRow(SignInRow):
    """A `SignInRow`, and whether the account has a session from the network of this sign-in."""

    is_known: bool


class CallerRow(Row):
    """A session with its account, as they are read to authenticate a request."""

    id: UUID
    user_id: UUID
    ended_at: UtcDatetime | None
    absolute_expires_at: UtcDatetime
    status: AccountStatus
    role: Role
    scopes: list[str]


class AccountInfoRow(Row):
    """Status, role and last sign-in of an account."""

    user_id: UUID
    status: AccountStatus
    role: Role
    last_sign_in_at: UtcDatetime | None


class FamiliarityRow(Row):
    """Number of a person's earlier sessions, and of those with the same network and program."""

    earlier: int
    alike: int


class TokenRow(Row):
    """A one-time token as it is read before it is used."""

    user_id: UUID
    registration_id: UUID | None
    used_at: UtcDatetime | None
    expires_at: UtcDatetime


class RegistrationRow(Row):
    """A registration as it is read."""

    id: UUID
    user_id: UUID
    locale: str | None
    created_at: UtcDatetime
