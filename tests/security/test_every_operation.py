"""What holds for every operation, also for those that will be written tomorrow: read from the OpenAPI document."""

from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

OPEN_TO_ALL = {
    "GET /.well-known/jwks.json",
    "GET /errors",
    "GET /errors/{code}",
    "GET /health/live",
    "GET /health/ready",
    "POST /v1/auth/email/verify",
    "POST /v1/auth/email/verify/resend",
    "POST /v1/auth/password/forgot",
    "POST /v1/auth/password/reset",
    "POST /v1/auth/register",
    "POST /v1/auth/token",
}
"""Operations that need no token. A new one is a decision, made here."""


@pytest.fixture(scope="module")
def operations(app: FastAPI) -> list[tuple[str, str, dict]]:
    paths = app.openapi()["paths"]
    found = [
        (method.upper(), path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    assert len(found) > 35
    return found


def filled(path: str) -> str:
    """Put a random id into every place of a path."""
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + str(uuid4()) + rest.partition("}")[2]
    return path


async def test_without_a_token_only_what_is_open_to_all_answers(
    client: httpx.AsyncClient, operations
) -> None:
    for method, path, _ in operations:
        answer = await client.request(method, filled(path))
        if f"{method} {path}" in OPEN_TO_ALL:
            assert answer.status_code != 401, (method, path)
            continue
        assert answer.status_code == 401, (method, path, answer.status_code)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        if method != "HEAD":
            assert answer.json()["code"] == "auth.not_authenticated"


async def test_a_nonsensical_token_opens_nothing(client: httpx.AsyncClient, operations) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    for method, path, _ in operations:
        if f"{method} {path}" not in OPEN_TO_ALL:
            assert (await client.request(method, filled(path), headers=headers)).status_code == 401, (
                method,
                path,
            )


async def test_two_tokens_open_nothing(client: httpx.AsyncClient, user) -> None:
    twice = [("Authorization", user.headers["Authorization"])] * 2
    assert (await client.get("/v1/users/me", headers=twice)).status_code == 401


def test_operations_that_want_a_token_say_so(operations) -> None:
    for method, path, operation in operations:
        assert bool(operation.get("security")) == (f"{method} {path}" not in OPEN_TO_ALL), (method, path)


def test_every_operation_names_its_errors_in_one_shape(operations) -> None:
    for method, path, operation in operations:
        for status, response in operation["responses"].items():
            if status[0] in "45" and path != "/health/ready":
                assert "application/problem+json" in response["content"], (method, path, status)
        if operation.get("security"):
            assert "401" in operation["responses"], (method, path)


async def test_unknown_fields_are_refused(client: httpx.AsyncClient, admin, operations, app: FastAPI) -> None:
    """Whatever a body says beside its fields, nothing happens."""
    checked = 0
    for method, path, operation in operations:
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        answer = await client.request(
            method, filled(path), headers=admin.headers, json={"role": "admin", "owner_id": str(uuid4())}
        )
        assert answer.status_code in {404, 422}, (method, path, answer.text)
        if answer.status_code == 422:
            assert {"#/role", "#/owner_id"} <= {error.get("pointer") for error in answer.json()["errors"]}
        checked += 1
    assert checked >= 6


async def test_a_wrong_method_names_every_right_one(client: httpx.AsyncClient, operations) -> None:
    allowed: dict[str, set[str]] = {}
    for method, path, _ in operations:
        allowed.setdefault(path, set()).add(method)
    for path, methods in allowed.items():
        answer = await client.request("PURGE", filled(path))
        assert answer.status_code == 405, path
        named = {method.strip() for method in answer.headers["Allow"].split(",")}
        assert methods <= named, (path, methods, named)


@pytest.mark.parametrize(
    "path", ["/v1//users", "/v1/users/..;/me", "/v1/%2e%2e/v1/users/me", "/v1/users/me/", "//v1/users/me"]
)
async def test_tricks_with_paths_open_nothing(path: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(path)
    assert answer.status_code in {401, 404}, answer.status_code
