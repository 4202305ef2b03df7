"""Who is calling: known to every domain, decided by whoever implements `Authenticator`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol
from uuid import UUID

from fastapi import BackgroundTasks, Depends, Security
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from shared.errors import AppError, Forbidden

ADMIN_SCOPE = "admin"
SCOPES = {ADMIN_SCOPE: "Everything that an administrator may do."}


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of an operation."""

    user_id: UUID
    session_id: UUID | None
    scopes: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """Whether the caller administers this installation."""
        return ADMIN_SCOPE in self.scopes


class Authenticator(Protocol):
    """Tells who holds a bearer token."""

    async def authenticate(self, token: str) -> Principal:
        """Return the caller, looked up anew each time, so that a logout or a disabled account works at once.

        Raises:
            NotAuthenticated: the token is no good, whatever the reason.
        """
        ...

    def is_use_new(self, principal: Principal) -> bool:
        """Tell whether it is time to note the use of the caller's session."""
        ...

    async def note_use(self, principal: Principal) -> None:
        """Write down that the caller's session is in use. Runs after the answer, and may be lost."""
        ...

    async def note_refusal(
        self, principal: Principal, scope: str, *, address: str | None, agent: str | None
    ) -> None:
        """Write down that the caller lacks a scope. It must outlive the refusal that follows."""
        ...


class NotAuthenticated(AppError):
    """No token, or one that is no good (any more)."""

    code = "auth.not_authenticated"
    status = 401
    title = "Not authenticated"
    detail = "Send a valid access token as `Authorization: Bearer <token>`."
    challenge: ClassVar[str] = 'Bearer realm="tulou"'

    @property
    def headers(self) -> dict[str, str]:
        """The challenge that RFC 9110, section 11.6.1 asks for."""
        return {"WWW-Authenticate": self.challenge}


class MissingScope(Forbidden):
    """The caller is known, but lacks what the operation asks for."""

    code = "auth.missing_scope"
    detail = "Your account may not do this."


class _BearerToken(SecurityBase):
    """Finds out who holds the request's token, and tells the OpenAPI document about it: one dependency, not two."""

    scheme_name = "OAuth2PasswordBearer"
    model = OAuth2(
        flows=OAuthFlows(
            password=OAuthFlowPassword(
                tokenUrl="/v1/auth/token",
                refreshUrl="/v1/auth/token",
                scopes=SCOPES,
            )
        )
    )

    async def __call__(self, request: Request, background: BackgroundTasks) -> Principal:
        given = request.headers.getlist("authorization")
        if len(given) != 1:
            raise NotAuthenticated
        scheme, _, token = given[0].partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated
        authenticator: Authenticator = request.app.state.authenticator
        principal = await authenticator.authenticate(token)
        request.state.principal = principal
        if authenticator.is_use_new(principal):
            background.add_task(authenticator.note_use, principal)
        return principal


_caller = _BearerToken()


def _with_scope(scope: str) -> Callable[[Request, Principal], Awaitable[Principal]]:
    async def check(request: Request, principal: Annotated[Principal, Depends(_caller)]) -> Principal:
        if scope not in principal.scopes:
            authenticator: Authenticator = request.app.state.authenticator
            await authenticator.note_refusal(
                principal,
                scope,
                address=request.client.host if request.client else None,
                agent=request.headers.get("user-agent"),
            )
            raise MissingScope(scope=scope)
        return principal

    return check


Caller = Annotated[Principal, Security(_caller)]
"""Anyone who is logged in."""

Admin = Annotated[Principal, Security(_with_scope(ADMIN_SCOPE), scopes=[ADMIN_SCOPE])]
"""An administrator."""
