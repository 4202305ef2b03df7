"""Identity of the caller, for every domain. `Authenticator` has the Protocol that determines it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol
from uuid import UUID

from shared.errors import AppError, Forbidden

ADMIN_SCOPE = "admin"
SCOPES = {ADMIN_SCOPE: "Everything that an administrator may do."}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of an operation. `expires_at`: when the token does; None: never."""

    user_id: UUID
    session_id: UUID | None
    scopes: frozenset[str]
    expires_at: datetime | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the caller administers this installation."""
        return ADMIN_SCOPE in self.scopes


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """Claims of a valid access token. Its session may have ended since it was issued."""

    user_id: UUID
    session_id: UUID
    not_before: datetime
    expires_at: datetime


class Authenticator(Protocol):
    """Authenticates a bearer token."""

    def read(self, token: str) -> AccessClaims:
        """Return the claims of a token, without a query.

        Raises:
            InvalidAccessToken: the token is malformed or was not issued here.
            ExpiredAccessToken: its time is over.
        """
        ...

    async def authenticate(self, claims: AccessClaims) -> Principal:
        """Return the caller, looked up anew each time, so that a logout or a disabled account works at once.

        Raises:
            SessionEnded: the session has ended, or the account is disabled.
        """
        ...

    async def still_valid(self, principals: Collection[Principal]) -> set[Principal]:
        """Return the callers whose token and session are still valid, with one query for all."""
        ...

    def is_use_new(self, principal: Principal) -> bool:
        """Tell whether it is time to note the use of the caller's session."""
        ...

    async def note_use(self, principal: Principal) -> None:
        """Record that the caller's session is in use. Runs after the answer, and may be lost."""
        ...

    async def note_refusal(
        self, principal: Principal, scope: str, *, address: str | None, agent: str | None
    ) -> None:
        """Record that the caller lacks a scope. It must outlive the refusal that follows."""
        ...


class AccountLock(Protocol):
    """Locks an account while data is stored for it.

    A request is authenticated when it begins. What takes long after that, as an upload does, may end when its caller
    has logged out, or when the account is disabled, deleted or erased. So the transaction that stores what came of it
    begins with `lock_caller`; until it ends, no session of the account ends and the account is not erased.
    """

    async def lock_caller(self, principal: Principal) -> None:
        """Make sure, as the first statement of the open transaction, that the caller may still act.

        Raises:
            SessionEnded: the session has ended, or its account is disabled, being deleted or gone.
        """
        ...


class NotAuthenticated(AppError):
    """The request has no access token."""

    code = "auth.not_authenticated"
    remedy = "Sign in with `POST /v1/auth/token`, then send `Authorization: Bearer <access token>`."
    status = 401
    title = "Not authenticated"
    detail = "Send a valid access token as `Authorization: Bearer <token>`."
    challenge: ClassVar[str] = 'Bearer realm="tulou"'

    @property
    def headers(self) -> dict[str, str]:
        """The challenge that RFC 9110, section 11.6.1 asks for."""
        return {"WWW-Authenticate": self.challenge}


class _RefusedAccessToken(NotAuthenticated):
    """Base of the errors of tokens."""

    @property
    def headers(self) -> dict[str, str]:
        """The challenge with the reason (RFC 6750, section 3)."""
        said = f'{self.challenge}, error="invalid_token", error_description="{self.detail}"'
        return {"WWW-Authenticate": said}


class InvalidAccessToken(_RefusedAccessToken):
    """The access token is malformed, forged, or was issued for another service."""

    code = "auth.invalid_access_token"
    remedy = "Sign in again."
    detail = "This is not an access token of this server. Sign in again."


class ExpiredAccessToken(_RefusedAccessToken):
    """The access token has expired."""

    code = "auth.expired_access_token"
    remedy = "Get new tokens with the refresh token: `POST /v1/auth/token` with `grant_type=refresh_token`."
    detail = "The access token has expired. Get a new one with the refresh token."


class SessionEnded(_RefusedAccessToken):
    """The session of the access token has ended: a logout, a revocation, a new password or a disabled account."""

    code = "auth.session_ended"
    remedy = "Sign in again."
    detail = "The session of this access token has ended. Sign in again."


class MissingScope(Forbidden):
    """The caller is authenticated, but lacks the scope that the operation requires."""

    code = "auth.missing_scope"
    detail = "Your account has no permission for this operation."

    @property
    def headers(self) -> dict[str, str]:
        """The challenge that names the scope (RFC 6750, section 3.1)."""
        scope = self.extensions.get("scope", "")
        return {
            "WWW-Authenticate": f'{NotAuthenticated.challenge}, error="insufficient_scope", scope="{scope}"'
        }
