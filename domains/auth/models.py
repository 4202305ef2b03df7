"""Tables of auth: accounts, sessions, one-time tokens, counters of attempts and the audit log."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from shared.db.models import Table, bigint, choice, jsonb, timestamp
from shared.ids import new_id


class AccountStatus(StrEnum):
    """Whether an account can be signed in to."""

    ACTIVE = "active"
    DISABLED = "disabled"
    DELETING = "deleting"


class Role(StrEnum):
    """What an account may do."""

    USER = "user"
    ADMIN = "admin"


class TokenPurpose(StrEnum):
    """What a one-time token is for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105  # a purpose


class EndReason(StrEnum):
    """Why a session ended."""

    LOGGED_OUT = "logged_out"
    REVOKED = "revoked"
    REUSED = "reused"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a reason
    ADDRESS_VERIFIED = "address_verified"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_DELETED = "account_deleted"
    RESTORED = "restored"
    ADDRESS_CHANGED = "address_changed"


class AttemptKind(StrEnum):
    """What is counted."""

    LOGIN_ADDRESS = "login_address"
    LOGIN_PAIR = "login_pair"
    LOGIN_NETWORK = "login_network"
    PASSWORD_CHECK = "password_check"  # noqa: S105  # a kind
    MAIL = "mail"
    MAIL_NETWORK = "mail_network"


class SecurityEventKind(StrEnum):
    """Kinds of security events."""

    REGISTRATION_REQUESTED = "registration_requested"
    PASSWORD_RESET_REQUESTED = "password_reset_requested"  # noqa: S105  # a kind
    EMAIL_VERIFIED = "email_verified"
    LOGIN_SUCCEEDED = "login_succeeded"
    LOGIN_FAILED = "login_failed"
    REFRESH_REUSED = "refresh_reused"
    LOGGED_OUT = "logged_out"
    SESSION_REVOKED = "session_revoked"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a kind
    PASSWORD_RESET = "password_reset"  # noqa: S105  # a kind
    PASSWORD_CHECK_FAILED = "password_check_failed"  # noqa: S105  # a kind
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_ENABLED = "account_enabled"
    ACCOUNT_DELETED = "account_deleted"
    ADMIN_CREATED = "admin_created"
    ROLE_CHANGED = "role_changed"
    ADDRESS_CHANGED = "address_changed"
    LIMITS_CHANGED = "limits_changed"
    LIMITS_CLEARED = "limits_cleared"
    SCOPE_REFUSED = "scope_refused"


class RefreshTokenState(StrEnum):
    """State of a refresh token: the current one, its direct predecessor, an older one, or of an ended session."""

    CURRENT = "current"
    PARENT = "parent"
    OLD = "old"
    OVER = "over"


class Account(Table, table=True):
    """Whether and how a user may sign in. `registration_id`: the registration that its password came from.

    `last_sign_in_at` is null until the first sign-in after the upgrade to the version that stores it.
    """

    __tablename__ = "accounts"
    __table_args__ = ({"schema": "auth"},)

    user_id: UUID = Field(primary_key=True)
    password_hash: str
    credentials_version: int = 1
    registration_id: UUID | None = None
    status: AccountStatus = choice(AccountStatus, AccountStatus.ACTIVE)
    role: Role = choice(Role, Role.USER)
    scopes: list[str] = jsonb(default=list)
    last_sign_in_at: datetime | None = timestamp(nullable=True)
    created_at: datetime = timestamp()
    updated_at: datetime = timestamp()

    def set_password(self, password_hash: str, now: datetime) -> None:
        """Replace the password; sign-ins in progress with the old one fail."""
        self.password_hash = password_hash
        self.credentials_version += 1
        self.updated_at = now

    def set_status(self, status: AccountStatus, now: datetime) -> None:
        """Set the status."""
        self.status = status
        self.updated_at = now


class Registration(Table, table=True):
    """A registration that waits for address verification.

    Following its link activates the password chosen in this registration, never that of a competing one.
    """

    __tablename__ = "registrations"
    __table_args__ = (Index("ix_registrations_user_id", "user_id", "created_at"), {"schema": "auth"})

    id: UUID = Field(default_factory=new_id, primary_key=True)
    user_id: UUID
    password_hash: str
    name: str | None = None
    locale: str | None = None
    created_at: datetime = timestamp()


class Session(Table, table=True):
    """One sign-in. Its refresh token holds `counter`, which each use raises."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended_has_reason"),
        Index("ix_sessions_user_id", "user_id", "created_at"),
        Index("ix_sessions_living", "idle_expires_at", postgresql_where=text("ended_at IS NULL")),
        Index("ix_sessions_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        {"schema": "auth", "postgresql_with": {"fillfactor": 85}},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    user_id: UUID
    counter: int = 0
    rotated_at: datetime = timestamp()
    created_at: datetime = timestamp()
    last_used_at: datetime = timestamp()
    idle_expires_at: datetime = timestamp()
    absolute_expires_at: datetime = timestamp()
    ended_at: datetime | None = timestamp(nullable=True)
    end_reason: str | None = None
    address: str
    network: str
    agent: str

    def refresh_token_state(self, counter: int, *, now: datetime, grace: timedelta) -> RefreshTokenState:
        """Tell what a refresh token with this counter is.

        The predecessor of the current one is accepted for `grace`: its holder may not have received the response.
        """
        if self.ended_at is not None or now >= self.idle_expires_at or now >= self.absolute_expires_at:
            return RefreshTokenState.OVER
        if counter == self.counter:
            return RefreshTokenState.CURRENT
        if counter == self.counter - 1 and now - self.rotated_at <= grace:
            return RefreshTokenState.PARENT
        return RefreshTokenState.OLD

    def rotate(self, *, now: datetime, idle: timedelta) -> None:
        """Make the next refresh token the current one."""
        self.counter += 1
        self.rotated_at = now
        self.last_used_at = now
        self.idle_expires_at = min(now + idle, self.absolute_expires_at)

    def end(self, reason: EndReason, now: datetime) -> None:
        """End the session; the first reason stays."""
        if self.ended_at is None:
            self.ended_at = now
            self.end_reason = reason.value


class OneTimeToken(Table, table=True):
    """A secret that was sent by mail; only its SHA-256 is kept."""

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        Index("uq_one_time_tokens_token_hash", "token_hash", unique=True),
        Index("ix_one_time_tokens_user_id", "user_id"),
        Index("ix_one_time_tokens_expires_at", "expires_at"),
        {"schema": "auth"},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    purpose: TokenPurpose = choice(TokenPurpose, TokenPurpose.VERIFY_EMAIL)
    user_id: UUID
    registration_id: UUID | None = None
    token_hash: bytes
    created_at: datetime = timestamp()
    expires_at: datetime = timestamp()
    used_at: datetime | None = timestamp(nullable=True)

    def is_usable(self, now: datetime) -> bool:
        """Whether it can still be used."""
        return self.used_at is None and now < self.expires_at


class Attempts(Table, table=True):
    """A counter of attempts in the current window. `key_hash` is a keyed hash of the address or network.

    `under_way` is unused; the previous version reads it.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_expires_at", "expires_at"),
        {"schema": "auth", "postgresql_with": {"fillfactor": 70}},
    )

    kind: str = Field(primary_key=True)
    key_hash: bytes = Field(primary_key=True)
    count: int
    under_way: int = 0
    expires_at: datetime = timestamp()


class Allowance(Table, table=True):
    """Limits of a person that override the settings; null: the setting's. The row stays when all are null again."""

    __tablename__ = "allowances"
    __table_args__ = ({"schema": "auth"},)

    user_id: UUID = Field(primary_key=True)
    max_bytes: int | None = bigint(nullable=True)
    max_files: int | None = bigint(nullable=True)
    max_requests: int | None = bigint(nullable=True)
    updated_at: datetime = timestamp()
    revision: int = 1


class SecurityEvent(Table, table=True):
    """An event of the audit log. It outlives the account that it is about."""

    __tablename__ = "security_events"
    __table_args__ = (
        Index("ix_security_events_user_id", "user_id", "created_at"),
        Index("ix_security_events_created_at", "created_at"),
        Index("ix_security_events_address", "address", "created_at"),
        {"schema": "auth"},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    event: str
    user_id: UUID | None = None
    session_id: UUID | None = None
    address: str | None = None
    agent: str | None = None
    request_id: str | None = None
    details: dict[str, Any] = jsonb()
    created_at: datetime = timestamp()
