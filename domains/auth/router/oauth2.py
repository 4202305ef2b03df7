"""Shared by the OAuth2 endpoints: client checks, and error responses (RFC 6749, section 5.2)."""

import base64
import binascii
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from domains.auth.errors import (
    AddressNotVerified,
    InvalidClient,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidRevocation,
    InvalidTokenRequest,
    RefreshReused,
    UnsupportedGrantType,
)
from shared.errors import AppError, BadRequest, InternalError, Unprocessable
from shared.http.problems import UnreadableBody
from shared.http.routing import StrictRoute

_ERROR_CODES: dict[type[AppError], str] = {
    AddressNotVerified: "invalid_grant",
    InvalidClient: "invalid_client",
    InvalidCredentials: "invalid_grant",
    InvalidRefreshToken: "invalid_grant",
    RefreshReused: "invalid_grant",
    UnsupportedGrantType: "unsupported_grant_type",
}
_ERROR_CODES_BY_STATUS = {429: "temporarily_unavailable", 503: "temporarily_unavailable"}


class OAuth2Route(StrictRoute):
    """Responds with 400 where other routes respond with 422, and adds `error` and `error_description` to problems."""

    invalid_request: type[BadRequest] = InvalidTokenRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of a strict route."""
        handler, invalid_request = super().get_route_handler(), self.invalid_request

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                raise _as_oauth2_error(invalid_request()) from error
            except HTTPException as error:  # FastAPI's, for a form that can't be read
                raise _as_oauth2_error(UnreadableBody()) from error
            except Unprocessable as problem:
                refused = invalid_request()
                refused.extensions.update(problem.extensions)
                raise _as_oauth2_error(refused) from problem
            except AppError as problem:
                raise _as_oauth2_error(problem) from None

        return answer


class RevocationRoute(OAuth2Route):
    """`OAuth2Route` for token revocation (RFC 7009)."""

    invalid_request = InvalidRevocation


def check_client(request: Request, *, client_id: str, client_secret: str, known: str) -> None:
    """Accept a request that names no client or the only one, which is public and has no secret.

    Raises:
        InvalidClient: the form or `Authorization: Basic` has another client or a secret (RFC 6749, section 2.3).
    """
    name, secret = _basic(request.headers.get("authorization", ""))
    if client_secret or secret or any(given not in {"", known} for given in (client_id, name)):
        raise InvalidClient


def _basic(authorization: str) -> tuple[str, str]:
    """Return client id and secret. Other schemes are ignored: many clients send an old access token everywhere."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise InvalidClient from error
    if not colon:
        raise InvalidClient
    return name, secret


def _as_oauth2_error(problem: AppError) -> AppError:
    if isinstance(problem, InternalError):
        return problem
    by_status = _ERROR_CODES_BY_STATUS.get(problem.status, "invalid_request")
    problem.extensions["error"] = _ERROR_CODES.get(type(problem), by_status)
    problem.extensions["error_description"] = problem.detail
    return problem
