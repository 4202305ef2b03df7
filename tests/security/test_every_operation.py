"""Rules for every operation of the OpenAPI document, also for those that are added later."""

from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from tests.security.operations import OPEN_TO_ALL, Operation, operations_of
from tests.security.resources import OwnedResources
from tools.faults.people import People, Person


@pytest.fixture(scope="module")
def operations(app: FastAPI) -> list[Operation]:
    found = list(operations_of(app))
    assert len(found) > 35
    return found


@pytest.fixture
def resources(
    client: httpx.AsyncClient, operations: list[Operation], admin: Person, work_off
) -> OwnedResources:
    return OwnedResources(client, operations, admin, work_off)


def filled(path: str) -> str:
    """Put a random id into every place of a path."""
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + str(uuid4()) + rest.partition("}")[2]
    return path


def test_every_open_operation_is_there(operations: list[Operation]) -> None:
    assert OPEN_TO_ALL - {operation.name for operation in operations} == set()


async def test_without_a_token_only_what_is_open_to_all_answers(client, operations) -> None:
    for operation in operations:
        answer = await client.request(operation.method, filled(operation.path))
        if operation.is_open:
            assert answer.status_code != 401, operation.name
            continue
        assert answer.status_code == 401, f"{operation.name}: is it meant for all? See open_to_all.txt."
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        if operation.method != "HEAD":
            assert answer.json()["code"] == "auth.not_authenticated"


async def test_a_nonsensical_token_opens_nothing(client, operations) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    for operation in operations:
        if not operation.is_open:
            answer = await client.request(operation.method, filled(operation.path), headers=headers)
            assert answer.status_code == 401, operation.name


async def test_two_tokens_open_nothing(client, user) -> None:
    twice = [("Authorization", user.headers["Authorization"])] * 2
    assert (await client.get("/v1/users/me", headers=twice)).status_code == 401


def test_operations_that_want_a_token_say_so(operations) -> None:
    for operation in operations:
        assert bool(operation.details.get("security")) != operation.is_open, operation.name


async def test_resources_of_somebody_else_are_not_there(
    client, operations, resources, people: People
) -> None:
    """B gets 404 for every thing of A, whatever B wants with it, and nothing happens to it; for A it is there."""
    mine, other = await people.register(), await people.register()
    checked = set()
    for operation in operations:
        if not operation.places or operation.is_open or operation.is_for_admins or operation.is_shared:
            continue
        address = await resources.address(operation, mine)
        before = await resources.state(operation, address, mine)
        refused = await ask(client, operation, address, other)
        assert refused.status_code == 404, (operation.name, refused.status_code, refused.text)
        assert await resources.state(operation, address, mine) == before, operation.name
        granted = await ask(client, operation, address, mine)
        assert granted.status_code not in {401, 403, 404}, (operation.name, granted.text)
        checked.add(operation.name)
    assert {"PATCH /v1/files/{file_id}", "POST /v1/jobs/{job_id}/cancel"} <= checked


async def test_what_is_for_administrators_is_refused_to_others(
    client, operations, resources, people: People, admin: Person
) -> None:
    other = await people.register()
    checked = 0
    for operation in operations:
        if not operation.is_for_admins:
            continue
        mine = await people.register()
        address = await resources.address(operation, mine)
        before = await resources.state(operation, address, mine) if operation.places else None
        for somebody in (mine, other):
            answer = await ask(client, operation, address, somebody)
            assert answer.status_code == 403, (operation.name, answer.text)
            assert answer.json()["code"] == "auth.missing_scope"
        if operation.places:
            assert await resources.state(operation, address, mine) == before, operation.name
        granted = await ask(client, operation, address, admin)
        assert granted.status_code not in {401, 403, 404}, (operation.name, granted.text)
        checked += 1
    assert checked >= 7


async def test_unknown_fields_are_refused(client, operations, resources, people: People, admin) -> None:
    """Whatever a body says beside its fields, nothing happens."""
    mine = await people.register()
    extra = {"role": "admin", "owner_id": str(uuid4())}
    checked = 0
    for operation in operations:
        if operation.body is None:
            continue
        address = await resources.address(operation, mine)
        caller = admin if operation.is_for_admins else mine
        answer = await client.request(
            operation.method, address, headers=headers_of(operation, caller), json=operation.body | extra
        )
        assert answer.status_code == 422, (operation.name, answer.text)
        unknown = {f"#/{name}" for name in extra if name not in operation.body}
        assert {error.get("pointer") for error in answer.json()["errors"]} >= unknown, operation.name
        checked += 1
    assert checked >= 9


async def test_unknown_parameters_are_refused(client, operations, resources, people: People, admin) -> None:
    """A filter with a typing error would show everything."""
    mine = await people.register()
    for operation in operations:
        address = await resources.address(operation, mine)
        caller = admin if operation.is_for_admins else mine
        answer = await client.request(
            operation.method, address, params={"statsu": "failed"}, headers=headers_of(operation, caller)
        )
        if operation.name in {"POST /v1/auth/token", "POST /v1/auth/revoke"}:  # RFC 6749, section 5.2
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
            continue
        assert answer.status_code == 422, (operation.name, answer.status_code)
        if operation.method != "HEAD":
            assert answer.json()["code"] == "request.unknown_parameters", operation.name
            assert answer.json()["errors"][0]["parameter"] == "statsu"


async def ask(
    client: httpx.AsyncClient, operation: Operation, address: str, caller: Person
) -> httpx.Response:
    """Send what the document shows as an example."""
    return await client.request(
        operation.method, address, json=operation.body, headers=headers_of(operation, caller)
    )


def headers_of(operation: Operation, caller: Person) -> dict[str, str]:
    """Return the caller's token, and an idempotency key where one is required."""
    required = {p["name"] for p in operation.details.get("parameters", []) if p.get("required")}
    key = {"Idempotency-Key": str(uuid4())} if "Idempotency-Key" in required else {}
    return caller.headers | key


async def test_a_wrong_method_names_every_right_one(client, operations) -> None:
    allowed: dict[str, set[str]] = {}
    for operation in operations:
        allowed.setdefault(operation.path, set()).add(operation.method)
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
