"""Responses of the OpenAPI document: all errors with their codes, and the headers of every response."""

from collections.abc import Iterator
from typing import Any

from domains.modes.errors import ReadOnly, UnderMaintenance
from shared.errors import CATALOGUE, AppError, DatabaseUnavailable, InternalError
from shared.http.description import ERRORS, RESPONDS_400, add_problem
from shared.http.problems import InvalidInput, UnreadableBody
from shared.http.rate_limits import RateLimited
from shared.http.refusals import BadQuery, BodyTooLarge, UnsupportedEncoding
from shared.http.response_headers import sends
from shared.http.routing import (
    RepeatedFields,
    RepeatedParameters,
    UnknownParameters,
    UnsupportedMediaType,
)
from shared.http.strict_json import MalformedJson
from shared.identity import (
    ExpiredAccessToken,
    InvalidAccessToken,
    MissingScope,
    NotAuthenticated,
    SessionEnded,
)

PROBES = "/health/"
_NEEDS_DATABASE = "/v1/"
_SAFE = frozenset({"get", "head", "options"})
_PROBLEM = "application/problem+json"
_DONE = {
    "200": "Here it is.",
    "201": "Created. `Location` has its URL.",
    "202": "Accepted. A background job does the work.",
    "204": "Done. The response has no body.",
}
_BY_STATUS = {
    "401": ("WWW-Authenticate",),
    "409": ("Retry-After",),
    "416": ("Content-Range",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_INVALID = [{"pointer": "#/email", "code": "value_error", "detail": "This is not a mail address."}]
_UNKNOWN = [{"parameter": "statsu", "code": "extra_forbidden", "detail": "Unknown parameter."}]
_REPEATED = [{"parameter": "limit", "code": "repeated", "detail": "It has one value."}]
_REPEATED_FIELDS = [{"pointer": "#/username", "code": "repeated", "detail": "It has one value."}]
_EXTENSIONS: dict[type[AppError], dict[str, Any]] = {
    InvalidInput: {"errors": _INVALID},
    UnknownParameters: {"errors": _UNKNOWN},
    RepeatedFields: {"errors": _REPEATED_FIELDS},
    RepeatedParameters: {"errors": _REPEATED},
}


def complete_responses(document: dict[str, Any], *, public_url: str) -> None:
    """Describe every response of every operation; an example of each error stands among the components."""
    used: set[str] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for error in _errors_of_any(path, method, operation):
                add_problem(operation, error)
            if operation.pop(RESPONDS_400, False):
                del operation["responses"]["422"]
            operation["responses"] = dict(sorted(operation["responses"].items()))
            for status, response in operation["responses"].items():
                used.update(response.get(ERRORS, ()))
                _complete(response, status, is_limited=not path.startswith(PROBES))
    document["components"]["examples"] = {
        code: _example(CATALOGUE[code], public_url) for code in sorted(used)
    }


def responses_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every response of every operation."""
    for operations in document["paths"].values():
        for operation in operations.values():
            yield from operation["responses"].values()


def _errors_of_any(path: str, method: str, operation: dict[str, Any]) -> Iterator[type[AppError]]:
    """Yield the errors that an operation can have because of its kind."""
    yield from (BadQuery, UnknownParameters, InternalError)
    if not path.startswith(PROBES):
        yield from (RateLimited, UnderMaintenance, *(() if method in _SAFE else (ReadOnly,)))
    if path.startswith(_NEEDS_DATABASE):
        yield DatabaseUnavailable
    for scopes in (scopes for scheme in operation.get("security", []) for scopes in scheme.values()):
        yield from (NotAuthenticated, InvalidAccessToken, ExpiredAccessToken, SessionEnded)
        if scopes:
            yield MissingScope
    content = operation.get("requestBody", {}).get("content", {})
    if content or operation.get("parameters"):
        yield InvalidInput
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        yield RepeatedParameters
    if content:
        yield UnsupportedEncoding
    if "application/json" in content:
        yield from (MalformedJson, UnsupportedMediaType, BodyTooLarge)
    if "application/x-www-form-urlencoded" in content:
        yield from (UnreadableBody, RepeatedFields, UnsupportedMediaType, BodyTooLarge)


def _complete(response: dict[str, Any], status: str, *, is_limited: bool) -> None:
    codes = response.pop(ERRORS, [])
    if response["description"] in {"", "Successful Response"}:
        response["description"] = _DONE.get(status, "")
    if codes:
        response["description"] = "\n\n".join(f"`{code}`: {CATALOGUE[code].detail}" for code in codes)
        examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
        schema = {"$ref": "#/components/schemas/Problem"}
        response["content"] = {_PROBLEM: {"schema": schema, "examples": examples}}
    always = ("X-Request-Id", "RateLimit-Policy", "RateLimit") if is_limited else ("X-Request-Id",)
    response["headers"] = {**response.get("headers", {}), **sends(*_BY_STATUS.get(status, ()), *always)}


def _example(error: type[AppError], public_url: str) -> dict[str, Any]:
    return {
        "summary": error.title,
        "value": {
            "type": f"{public_url}/errors/{error.code}",
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "request_id": "0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42",
            **_EXTENSIONS.get(error, {}),
        },
    }
