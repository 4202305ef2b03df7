"""Rows that are read of accounts, sessions, registrations and one-time tokens."""

from uuid import UUID

from domains.auth.models import AccountStatus, Role
from shared.schemas import Row, UtcDatetime


class SignInRow(Row):
    """What is read of an account to check a password."""

    user_id: UUID
    password_hash: str
    credentials_version: int
    registration_id: UUID | None
    status: AccountStatus
    role: Role

    @property
    def usable_hash(self) -> str | None:
        """The hash to check against, unless nobody may come in."""
        return self.password_hash if self.status is AccountStatus.ACTIVE else None


class LogInRow(SignInRow):
    """A `SignInRow`, and whether the account has a session from the network of this sign-in."""

    is_known: bool


class CallerRow(Row):
    """What is read of a session and its account to authenticate a request."""

    id: UUID
    user_id: UUID
    ended_at: UtcDatetime | None
    absolute_expires_at: UtcDatetime
    status: AccountStatus
    role: Role
    scopes: list[str]


class AccountInfoRow(Row):
    """What administrators see of an account."""

    user_id: UUID
    status: AccountStatus
    role: Role
    last_sign_in_at: UtcDatetime | None


class FamiliarityRow(Row):
    """How many sessions a person began before, and how many of them from the same network with the same agent."""

    earlier: int
    alike: int


class TokenRow(Row):
    """What is read of a one-time token before it is used."""

    user_id: UUID
    registration_id: UUID | None
    used_at: UtcDatetime | None
    expires_at: UtcDatetime


class RegistrationRow(Row):
    """What is read of a registration."""

    id: UUID
    user_id: UUID
    locale: str | None
    created_at: UtcDatetime
