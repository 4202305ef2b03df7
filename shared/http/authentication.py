"""`Caller` and `Admin`: types that authenticate the caller of an endpoint."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Security
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase
from starlette.requests import Request
from starlette.types import Scope

from shared.http.api_state import api_state
from shared.http.request_context import context_of
from shared.identity import (
    ADMIN_SCOPE,
    SCOPES,
    AccessClaims,
    Authenticator,
    MissingScope,
    NotAuthenticated,
    Principal,
)


def read_access_token(scope: Scope, authenticator: Authenticator) -> AccessClaims:
    """Return the claims of a request's access token. Middleware and endpoints ask; a valid token is read once.

    Raises:
        NotAuthenticated: there is no bearer token, or the header is repeated.
        InvalidAccessToken, ExpiredAccessToken: see `Authenticator.read`.
    """
    context = context_of(scope)
    if context.claims is None:
        context.claims = authenticator.read(_bearer_token(scope))
    return context.claims


def _bearer_token(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    token = token.strip(b" ")  # any number of spaces (RFC 9110, section 11.4)
    if scheme.lower() != b"bearer" or not token:
        raise NotAuthenticated
    return token.decode("latin-1")


class _BearerToken(SecurityBase):
    """Authenticates the request's token and documents it in OpenAPI, as one dependency."""

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
        authenticator = api_state(request).authenticator
        principal = await authenticator.authenticate(read_access_token(request.scope, authenticator))
        context_of(request.scope).principal = principal
        if authenticator.is_use_new(principal):
            background.add_task(authenticator.note_use, principal)
        return principal


_caller = _BearerToken()


def _with_scope(scope: str) -> Callable[[Request, Principal], Awaitable[Principal]]:
    async def check(request: Request, principal: Annotated[Principal, Depends(_caller)]) -> Principal:
        if scope not in principal.scopes:
            authenticator = api_state(request).authenticator
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
"""An authenticated user."""

Admin = Annotated[Principal, Security(_with_scope(ADMIN_SCOPE), scopes=[ADMIN_SCOPE])]
"""An administrator."""
