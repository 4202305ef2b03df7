"""Hooks of Schemathesis: authentication, values that can't be generated, and rules of this API."""

import os
import secrets
from typing import Any

import httpx
import jwt
import schemathesis
from schemathesis.specs.openapi.checks import ensure_resource_availability

API = os.environ["FUZZED_API"]
CALLER = os.environ["FUZZED_AS"]
ADMIN = os.environ["FUZZED_ADMIN"]
PASSWORD = os.environ["FUZZED_PASSWORD"]
PROBLEM = "application/problem+json"
DOCUMENT = "%PDF-1.4\n%%EOF\n"
"""Bytes of a type that is accepted, and that makes work."""
UNAUTHORIZED = 401
BEYOND_SCHEMA = "value_error"
"""The code of a rule that no schema can say: whether a domain name exists, which characters may stand in a name."""


class Caller:
    """The token of who is calling; a new one when what was tried has ended it, somebody new's if it was the account."""

    def __init__(self) -> None:
        self._email = ADMIN if CALLER == "admin" else ""
        self._token: str | None = None

    def token(self) -> str:
        """Return a token that was good a moment ago."""
        if self._token is None and self._email:
            self._token = self._sign_in(self._email)
        if self._token is None:
            self._email = self._register()
            self._token = self._sign_in(self._email)
        assert self._token is not None
        return self._token

    def forget(self, shown: str) -> None:
        """Take note that a token is no good any more."""
        if shown == f"Bearer {self._token}":
            self._token = None

    def _register(self) -> str:
        email = f"fuzz-{secrets.token_hex(8)}@example.com"
        body = {"email": email, "password": PASSWORD}
        httpx.post(f"{API}/v1/auth/register", json=body).raise_for_status()
        return email

    def _sign_in(self, email: str) -> str | None:
        """Return a token; None: the account was ended, which nobody can do to the last administrator."""
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        answer = httpx.post(f"{API}/v1/auth/token", data=form)
        if answer.is_client_error and email != ADMIN:
            return None
        return str(answer.raise_for_status().json()["access_token"])


caller = Caller()


class _Bearer:
    def get(self, _case: Any, _context: Any) -> str:
        return caller.token()

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


if CALLER != "anonymous":
    schemathesis.auth(refresh_interval=None)(_Bearer)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Say what can't be guessed, so that a good request gets past it to what it is about."""
    if not _is_good(case):
        return
    headers = case.headers
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = secrets.token_hex(8)
    if "If-Match" in headers:
        headers["If-Match"] = "*"
    headers.pop("Repr-Digest", None)
    case.query.pop("cursor", None)
    if case.operation.definition.raw["operationId"] == "upload_file" and isinstance(case.body, dict):
        headers.pop("Content-Disposition", None)
        case.body["file"] = DOCUMENT


@schemathesis.hook
def after_call(_context: Any, _case: Any, response: Any) -> None:
    """Get a new token if this one is no good any more."""
    if response.status_code == UNAUTHORIZED:
        caller.forget(str(response.request.headers.get("Authorization", "")))


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Leave out forms whose fault is a type: written down, all is text, one thing a list of one, no list nothing."""
    body = case.body
    if case.media_type != "multipart/form-data" or not isinstance(body, dict):
        return True
    tags, metadata = body.get("tags", []), body.get("metadata", "")
    return isinstance(metadata, str) and isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)


@schemathesis.check
def documented_code(_context: Any, response: Any, case: Any) -> None:
    """An error has one of the codes that the operation names for its status."""
    declared = case.operation.definition.raw["responses"].get(str(response.status_code))
    problem = _problem_of(response)
    # A status that isn't declared is another check's business.
    if problem is not None and declared is not None:
        named = declared["content"][PROBLEM]["examples"]
        assert problem["code"] in named, f"{problem['code']} is not among the documented {sorted(named)}"


@schemathesis.check
def the_schema_says_it_all(_context: Any, response: Any, case: Any) -> None:
    """Input that the schema allows breaks no rule but those that no schema can say."""
    problem = _problem_of(response)
    if problem is not None and problem["code"] == "request.invalid_input" and _is_good(case):
        untold = [error for error in problem["errors"] if error["code"] != BEYOND_SCHEMA]
        assert not untold, f"the schema allows what is refused: {untold}"


@schemathesis.check
def what_was_created_is_there(context: Any, response: Any, case: Any) -> None:
    """The check `ensure_resource_availability`, unless whoever created it is gone and somebody else asks for it."""
    parent = context.internals.find_parent(case_id=case.id)
    created = None if parent is None else context.internals.find_response(case_id=parent.id)
    if created is not None and _person_of(created) == _person_of(response):
        ensure_resource_availability(context, response, case)


def _person_of(response: Any) -> str | None:
    """Return whose token the request showed."""
    token = str(response.request.headers.get("Authorization", "")).removeprefix("Bearer ")
    try:
        return str(jwt.decode(token, options={"verify_signature": False})["sub"])
    except jwt.InvalidTokenError:
        return None


def _is_good(case: Any) -> bool:
    return bool(case.meta is not None and case.meta.generation.mode.is_positive)


def _problem_of(response: Any) -> dict[str, Any] | None:
    if response.request.method == "HEAD":
        return None
    is_problem = response.headers.get("content-type", [""])[0].startswith(PROBLEM)
    return response.json() if is_problem else None
