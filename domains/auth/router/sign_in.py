"""HTTP of signing in, of sessions and of the keys that verify their tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Form, Query, Request, Response

from domains.auth.errors import (
    AddressNotVerified,
    HashingBusy,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidTokenRequest,
    PasswordTooLong,
    RefreshReused,
    SessionNotFound,
    TooManyAttempts,
    UnsupportedGrantType,
)
from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.router.visitor import From, Sessions
from domains.auth.schemas import MAX_PASSWORD, IssuedTokens, KeySet, SessionBody, TokenForm, Visitor
from domains.auth.service.sign_in import LogoutScope, SessionService
from shared.errors import AppError
from shared.http.answer_headers import sends
from shared.http.idempotency import issues_secrets
from shared.http.routing import Router, problems
from shared.identity import Caller
from shared.pagination import Page, PageRequest, link_next, page_request
from shared.wiring import accessor

router = Router(prefix="/v1/auth", tags=["auth"])
keys_router = Router(tags=["auth"])

Paging = Annotated[PageRequest, page_request("created_at", "last_used_at")]
PublishedKeys = Annotated[AccessTokens, Depends(accessor("auth.access_tokens", AccessTokens))]

_OAUTH2_BY_CODE = {UnsupportedGrantType.code: "unsupported_grant_type"}
_OAUTH2_BY_STATUS = {401: "invalid_grant", 429: "temporarily_unavailable", 503: "temporarily_unavailable"}


@router.post(
    "/token",
    summary="Get tokens",
    responses=problems(
        InvalidTokenRequest,
        UnsupportedGrantType,
        InvalidCredentials,
        AddressNotVerified,
        InvalidRefreshToken,
        RefreshReused,
        PasswordTooLong,
        TooManyAttempts,
        HashingBusy,
    ),
)
@issues_secrets
async def issue_tokens(
    form: Annotated[TokenForm, Form()], sessions: Sessions, visitor: From, response: Response
) -> IssuedTokens:
    """Sign in (`grant_type=password`) or renew the tokens of a session (`grant_type=refresh_token`), as OAuth2 does.

    A refresh token is good once; the one before it gets the same answer for ten more seconds, should an answer have
    been lost. An older one ends the session. Problems also carry `error` and `error_description` for OAuth2 clients.
    """
    response.headers["Cache-Control"] = "no-store"
    with _in_words_of_oauth2():
        return await _granted(form, sessions, visitor)


@router.post("/logout", summary="Sign out", status_code=204)
async def log_out(
    caller: Caller,
    sessions: Sessions,
    visitor: From,
    scope: Annotated[LogoutScope, Query(description="Which of your sessions end.")] = LogoutScope.THIS,
) -> None:
    """End this session, the others or all. Their access tokens are dead at once too."""
    await sessions.log_out(caller, scope, visitor)


@router.get("/sessions", summary="List your sessions")
async def list_sessions(
    request: Request, response: Response, caller: Caller, sessions: Sessions, paging: Paging
) -> Page[SessionBody]:
    """Return where you are signed in."""
    page = await sessions.page(caller, paging)
    link_next(request, response, page)
    return Page(
        data=[SessionBody.of(row, current=caller.session_id) for row in page.data],
        next_cursor=page.next_cursor,
        total=page.total,
    )


@router.delete(
    "/sessions/{session_id}",
    summary="End a session",
    status_code=204,
    responses=problems(SessionNotFound),
)
async def revoke_session(session_id: UUID, caller: Caller, sessions: Sessions, visitor: From) -> None:
    """End one of your sessions."""
    await sessions.revoke(caller, session_id, visitor)


@keys_router.get(
    "/.well-known/jwks.json",
    summary="Read the public keys",
    responses={200: {"headers": sends("Cache-Control")}},
)
async def read_keys(access_tokens: PublishedKeys, response: Response) -> KeySet:
    """Return the keys that verify access tokens (RFC 7517), so that other services can check them by themselves."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return KeySet(keys=access_tokens.published_keys())


async def _granted(form: TokenForm, sessions: SessionService, visitor: Visitor) -> IssuedTokens:
    match form.grant_type:
        case "password" if form.username and form.password:
            if len(form.password) > MAX_PASSWORD:
                raise PasswordTooLong
            return await sessions.log_in(form.username, form.password, visitor)
        case "refresh_token" if form.refresh_token:
            return await sessions.refresh(form.refresh_token, visitor)
        case "" | "password" | "refresh_token":
            raise InvalidTokenRequest
        case _:
            raise UnsupportedGrantType


@contextmanager
def _in_words_of_oauth2() -> Iterator[None]:
    """Add to a problem what RFC 6749, section 5.2, calls it."""
    try:
        yield
    except AppError as problem:
        by_status = _OAUTH2_BY_STATUS.get(problem.status, "invalid_request")
        problem.extensions["error"] = _OAUTH2_BY_CODE.get(problem.code, by_status)
        problem.extensions["error_description"] = problem.detail
        raise
