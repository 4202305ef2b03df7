"""HTTP routes for OAuth2: issue and revoke tokens, and publish what other services need to verify them."""

from typing import Annotated

from fastapi import Depends, Form, Request, Response

from domains.auth.errors import (
    AddressNotVerified,
    HashingBusy,
    InvalidClient,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidRevocation,
    InvalidTokenRequest,
    PasswordTooLong,
    RefreshReused,
    TooManyAttempts,
    UnsupportedGrantType,
)
from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.router.dependencies import Client, Sessions, SignIn
from domains.auth.router.oauth2 import OAuth2Route, RevocationRoute, check_client
from domains.auth.schemas.accounts import MAX_PASSWORD
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.schemas.tokens import IssuedTokens, KeySet, RevocationForm, ServerMetadata, TokenForm
from domains.auth.service.sign_in import SignInService
from shared.http.description import RESPONDS_400
from shared.http.idempotency import handles_tokens
from shared.http.response_headers import sends
from shared.http.routing import Router, problems
from shared.text import is_longer
from shared.wiring import accessor

router = Router(prefix="/v1/auth", tags=["auth"])
well_known = Router(prefix="/.well-known", tags=["auth"])

Tokens = Annotated[AccessTokens, Depends(accessor("auth.access_tokens", AccessTokens))]
_KEPT_BRIEFLY = "public, max-age=300"


@handles_tokens
async def issue_tokens(
    form: Annotated[TokenForm, Form()],
    sign_in: SignIn,
    tokens: Tokens,
    client_info: Client,
    request: Request,
    response: Response,
) -> IssuedTokens:
    """Sign in (`grant_type=password`) or renew the tokens of a session (`grant_type=refresh_token`), as OAuth2 does.

    A refresh token can be used once. For ten seconds after that it returns its successor again, in case the response
    was lost; later its use ends the session. Problems also carry `error` and `error_description` for OAuth2 clients.
    """
    response.headers["Cache-Control"] = "no-store"
    check_client(request, client_id=form.client_id, client_secret=form.client_secret, known=tokens.client_id)
    return await _granted(form, sign_in, client_info)


@handles_tokens
async def revoke_token(
    form: Annotated[RevocationForm, Form()],
    sessions: Sessions,
    tokens: Tokens,
    client_info: Client,
    request: Request,
) -> Response:
    """End the session of a refresh or access token (RFC 7009). All tokens of the session stop working.

    An unknown, expired or revoked token gets the same response.
    """
    check_client(request, client_id=form.client_id, client_secret=form.client_secret, known=tokens.client_id)
    if not form.token:
        raise InvalidRevocation
    await sessions.revoke_token(form.token, client_info)
    return Response()


router.add_api_route(
    "/token",
    issue_tokens,
    methods=["POST"],
    summary="Get tokens",
    openapi_extra={RESPONDS_400: True},
    route_class_override=OAuth2Route,
    responses=problems(
        InvalidTokenRequest,
        UnsupportedGrantType,
        InvalidClient,
        InvalidCredentials,
        AddressNotVerified,
        InvalidRefreshToken,
        RefreshReused,
        PasswordTooLong,
        TooManyAttempts,
        HashingBusy,
    ),
)
router.add_api_route(
    "/revoke",
    revoke_token,
    methods=["POST"],
    summary="Revoke a token",
    openapi_extra={RESPONDS_400: True},
    response_class=Response,
    route_class_override=RevocationRoute,
    responses=problems(InvalidRevocation, InvalidClient),
)


@well_known.get(
    "/jwks.json",
    summary="Read the public keys",
    responses={200: {"headers": sends("Cache-Control")}},
)
async def read_keys(tokens: Tokens, response: Response) -> KeySet:
    """Return the keys that verify access tokens (RFC 7517), so that other services can verify them."""
    response.headers["Cache-Control"] = _KEPT_BRIEFLY
    return KeySet(keys=tokens.published_keys())


@well_known.get(
    "/oauth-authorization-server",
    summary="Read the OAuth2 metadata",
    responses={200: {"headers": sends("Cache-Control")}},
)
async def read_server_metadata(tokens: Tokens, response: Response) -> ServerMetadata:
    """Return the URLs and capabilities of the OAuth2 endpoints (RFC 8414)."""
    response.headers["Cache-Control"] = _KEPT_BRIEFLY
    return ServerMetadata.of(tokens.issuer)


async def _granted(form: TokenForm, sign_in: SignInService, client_info: ClientInfo) -> IssuedTokens:
    match form.grant_type:
        case "password" if form.username and form.password:
            if is_longer(form.password, MAX_PASSWORD):
                raise PasswordTooLong
            return await sign_in.log_in(form.username, form.password, client_info)
        case "refresh_token" if form.refresh_token:
            return await sign_in.refresh(form.refresh_token, client_info)
        case "" | "password" | "refresh_token":
            raise InvalidTokenRequest
        case _:
            raise UnsupportedGrantType
