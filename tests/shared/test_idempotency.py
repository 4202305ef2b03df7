"""`Idempotency-Key`: a request is executed once, however often it is sent, with the same response."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Response

from bootstrap.container import TulouContainer
from domains.idempotency.job_types import PRUNE
from domains.idempotency.service import StoredResponseService
from domains.idempotency.settings import IdempotencySettings
from domains.jobs.models import Job
from shared.db.repository import Repository
from shared.db.transaction import require_transaction
from shared.errors import CATALOGUE
from shared.http.idempotency import requires_idempotency_key
from shared.http.middleware.access_log import AccessLog
from shared.http.middleware.edge import EdgeMiddleware
from shared.http.middleware.hosts import Hosts
from shared.http.middleware.request_guard import RequestGuard, Rules
from shared.http.middleware.request_recorder import RequestRecorder
from shared.http.problems import ProblemWriter
from shared.http.routing import Router
from tools.faults.people import Person

NAME = "/v1/users/me"


def some_key() -> str:
    return secrets.token_hex(16)


def keyed(person: Person, key: str) -> dict[str, str]:
    return {**person.headers, "Idempotency-Key": key}


@pytest.fixture
async def rows(servers) -> AsyncIterator[asyncpg.Connection]:
    """PostgreSQL, past every rule."""
    connection = await asyncpg.connect(servers.superuser_url)
    yield connection
    await connection.close()


async def jobs_of(rows: asyncpg.Connection, person: Person, kind: str) -> int:
    return await rows.fetchval(
        "SELECT count(*) FROM jobs.jobs WHERE owner_id = $1 AND kind = $2", person.id, kind
    )


async def revision_of(rows: asyncpg.Connection, person: Person) -> int:
    return await rows.fetchval("SELECT revision FROM users.users WHERE id = $1", person.id)


async def test_a_request_that_is_sent_again_is_answered_the_same_and_not_done_again(
    client, user, rows
) -> None:
    key = some_key()
    first = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    again = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    assert first.status_code == again.status_code == 200
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content == first.content
    for name in ("content-type", "etag"):
        assert again.headers[name] == first.headers[name]
    assert await revision_of(rows, user) == 2


async def test_without_a_key_a_request_is_done_each_time(client, user, rows) -> None:
    for name in ("Ada", "Grace"):
        await client.patch(NAME, json={"name": name}, headers=user.headers)
    assert await revision_of(rows, user) == 3


async def test_another_body_with_the_same_key_is_refused(client, user) -> None:
    key = some_key()
    await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    other = await client.patch(NAME, json={"name": "Grace"}, headers=keyed(user, key))
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency.key_reused"


async def test_another_path_of_the_same_route_with_the_same_key_is_refused(client, user) -> None:
    files = [
        (await client.post("/v1/files", content=b"words", headers=user.headers)).json()["id"]
        for _ in range(2)
    ]
    key = some_key()
    answers = [
        await client.patch(f"/v1/files/{file}", json={"name": "b.txt"}, headers=keyed(user, key))
        for file in files
    ]
    assert [answer.status_code for answer in answers] == [200, 422]


async def test_somebody_elses_key_is_another_key(client, user, other) -> None:
    key = some_key()
    one = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    two = await client.patch(NAME, json={"name": "Grace"}, headers=keyed(other, key))
    assert (one.status_code, two.status_code) == (200, 200)
    assert two.json()["name"] == "Grace"


async def test_of_twenty_duplicates_one_is_done(client, user, rows) -> None:
    key = some_key()
    answers = await asyncio.gather(
        *(client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key)) for _ in range(20))
    )
    assert await revision_of(rows, user) == 2
    done = [answer for answer in answers if answer.status_code == 200]
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert len(done) + len(waiting) == 20
    assert sum("Idempotency-Replayed" not in answer.headers for answer in done) == 1
    for answer in waiting:
        assert answer.json()["code"] == "idempotency.in_progress"
        assert int(answer.headers["Retry-After"]) >= 1
    again = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "a" * 256, "tab\there", "umlaut-\u00e4"])
async def test_what_can_be_no_key_is_refused(client, user, key: str) -> None:
    headers = {**user.headers, "Idempotency-Key": key.encode("latin-1")}
    answer = await client.patch(NAME, json={"name": "Ada"}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency.malformed_key"


async def test_two_keys_are_none(client, user) -> None:
    headers = [*user.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await client.patch(NAME, json={"name": "Ada"}, headers=headers)
    assert answer.json()["code"] == "idempotency.malformed_key"


async def test_a_refused_request_may_be_sent_again_with_the_same_key(client, user) -> None:
    key, missing = some_key(), UUID(int=1)
    for _ in range(2):
        answer = await client.post(f"/v1/jobs/{missing}/cancel", headers=keyed(user, key))
        assert answer.status_code == 404
        assert "Idempotency-Replayed" not in answer.headers


async def test_invalid_input_uses_no_key(client, user) -> None:
    key = some_key()
    wrong = await client.patch(NAME, json={"name": ""}, headers=keyed(user, key))
    right = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    assert (wrong.status_code, right.status_code) == (422, 200)


async def test_a_stranger_with_a_good_key_is_still_a_stranger(client, user) -> None:
    key = some_key()
    await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    answer = await client.patch(NAME, json={"name": "Ada"}, headers={"Idempotency-Key": key})
    assert answer.status_code == 401


async def test_answers_with_secrets_are_never_kept(client, user, rows) -> None:
    form = {"grant_type": "password", "username": user.email, "password": user.password}
    before = await rows.fetchval("SELECT count(*) FROM idempotency.keys")
    key = some_key()
    answers = [
        await client.post("/v1/auth/token", data=form, headers={"Idempotency-Key": key}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["refresh_token"] != answers[1].json()["refresh_token"]
    assert await rows.fetchval("SELECT count(*) FROM idempotency.keys") == before


async def test_anonymous_callers_are_told_apart_by_address(client, rows) -> None:
    body, key = {"email": f"{some_key()}@example.com"}, some_key()
    elsewhere = {"Idempotency-Key": key, "X-Forwarded-For": "198.19.0.1"}
    here = [
        await client.post("/v1/auth/password/forgot", json=body, headers={"Idempotency-Key": key})
        for _ in range(2)
    ]
    there = await client.post("/v1/auth/password/forgot", json=body, headers=elsewhere)
    assert ["Idempotency-Replayed" in answer.headers for answer in (*here, there)] == [False, True, False]


async def test_neither_key_nor_password_can_be_read_in_the_database(client, user, rows) -> None:
    key = some_key()
    body = {"current_password": user.password, "new_password": "another horse battery 43"}
    answer = await client.post("/v1/auth/password/change", json=body, headers=keyed(user, key))
    assert answer.status_code == 204
    kept = await rows.fetchrow("SELECT * FROM idempotency.keys WHERE owner_id = $1", user.id)
    assert kept["status"] == 204
    assert key not in str(dict(kept))
    again = await client.post("/v1/auth/password/change", json=body, headers=keyed(user, key))
    assert again.status_code == 204
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_an_attempt_that_died_is_begun_anew_when_its_lease_has_run_out(client, user, rows) -> None:
    key = some_key()
    await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    await rows.execute(
        "UPDATE idempotency.keys SET status = NULL, lease_expires_at = now() + interval '1 minute' WHERE owner_id = $1",
        user.id,
    )
    await rows.execute("UPDATE users.users SET name = NULL WHERE id = $1", user.id)
    waiting = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    assert waiting.json()["code"] == "idempotency.in_progress"
    await rows.execute(
        "UPDATE idempotency.keys SET lease_expires_at = now() - interval '1 second' WHERE owner_id = $1",
        user.id,
    )
    other = await client.patch(NAME, json={"name": "Grace"}, headers=keyed(user, key))
    assert other.json()["code"] == "idempotency.key_reused"
    again = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    assert again.status_code == 200
    assert "Idempotency-Replayed" not in again.headers
    assert await revision_of(rows, user) == 3


async def test_who_was_overtaken_changes_nothing(client, user, rows) -> None:
    """The first attempt wakes up after its lease: what it did is rolled back."""
    key = some_key()
    async with rows.transaction():
        await rows.execute("SELECT 1 FROM users.users WHERE id = $1 FOR UPDATE", user.id)
        first = asyncio.create_task(client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key)))
        while not await rows.fetchval("SELECT count(*) FROM idempotency.keys WHERE owner_id = $1", user.id):
            await asyncio.sleep(0.01)
        await rows.execute("UPDATE idempotency.keys SET token = $1 WHERE owner_id = $2", UUID(int=2), user.id)
    answer = await first
    assert answer.status_code == 409
    assert answer.json()["code"] == "idempotency.in_progress"
    assert await revision_of(rows, user) == 1


async def test_answers_are_forgotten_in_time(client, user, rows, work_off, composition) -> None:
    key = some_key()
    await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    kept = "SELECT expires_at - now() FROM idempotency.keys WHERE owner_id = $1"
    assert timedelta(hours=23) < await rows.fetchval(kept, user.id) <= timedelta(hours=24)
    await rows.execute("UPDATE idempotency.keys SET expires_at = now() WHERE owner_id = $1", user.id)
    again = await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, key))
    assert "Idempotency-Replayed" not in again.headers
    await rows.execute("UPDATE idempotency.keys SET expires_at = now() WHERE owner_id = $1", user.id)
    assert await composition.idempotency.service().prune() >= 1
    assert await rows.fetchval(kept, user.id) is None
    assert PRUNE in [job for job in composition.registry().types() if job.schedule]


async def test_answers_are_erased_with_the_account(client, user, rows, work_off) -> None:
    await client.patch(NAME, json={"name": "Ada"}, headers=keyed(user, some_key()))
    body = {"password": user.password}
    answer = await client.request("DELETE", NAME, json=body, headers=user.headers)
    assert answer.status_code == 204
    await work_off()
    assert not await rows.fetchval("SELECT count(*) FROM idempotency.keys WHERE owner_id = $1", user.id)


async def test_the_document_tells_of_keys_wherever_one_is_taken(client) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert not {name for name in operation if name.startswith("x-")}
            names = [parameter["name"] for parameter in operation.get("parameters", [])]
            takes = method in ("post", "patch") and path not in {"/v1/auth/token", "/v1/auth/revoke"}
            assert names.count("Idempotency-Key") == takes, (method, path)
            if takes:
                assert "idempotency.in_progress" in operation["responses"]["409"]["description"]
                assert "idempotency.key_reused" in operation["responses"]["422"]["description"]
                done = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
                assert all("Idempotency-Replayed" in answer["headers"] for answer in done)


class Counter:
    """What an endpoint did, in rows."""

    def __init__(self, composition: TulouContainer) -> None:
        self.database = composition.database()
        self.done = 0

    async def add(self) -> None:
        self.done += 1
        async with self.database.transaction():
            await Repository(self.database).insert(Job(kind="tests.once", queue="nobody"))


@pytest.fixture
async def small(
    app, composition: TulouContainer, rows: asyncpg.Connection
) -> AsyncIterator[tuple[httpx.AsyncClient, Counter]]:
    """A small application with endpoints of its own."""
    counter, router, small = Counter(composition), Router(), FastAPI()

    @router.post("/long")
    async def long() -> str:
        await counter.add()
        return "a" * 200

    @router.post("/refused")
    async def refused(status: int) -> Response:
        await counter.add()
        return Response(status_code=status)

    @router.post("/broken")
    async def broken() -> None:
        await counter.add()
        raise RuntimeError("on purpose")

    @router.post("/cut-off")
    async def cut_off() -> str:
        await counter.add()
        async with counter.database.transaction():
            pid = await (await require_transaction().connection()).fetchval("SELECT pg_backend_pid()")
        await rows.execute("SELECT pg_terminate_backend($1)", pid)
        return "done"

    @router.post("/demanding")
    @requires_idempotency_key
    async def demanding() -> str:
        return "done"

    settings = IdempotencySettings(idempotency_max_body_bytes=100)
    stored_responses = StoredResponseService(
        repository=composition.idempotency.repository(),
        transaction=composition.database().transaction,
        settings=settings,
        secrets=composition.settings().plain_token_keys,
    )
    request_transaction = composition.database().request_transaction
    small.state.api = SimpleNamespace(
        stored_responses=stored_responses, request_transaction=request_transaction
    )
    writer = ProblemWriter(public_url="http://test")
    writer.install(small)
    small.include_router(router)
    guard = RequestGuard(Rules(max_body=4096, hosts=Hosts(())))
    small.add_middleware(
        EdgeMiddleware, guard=guard, problems=writer, request_recorder=RequestRecorder(AccessLog("json"))
    )
    transport = httpx.ASGITransport(small, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client, counter


async def effects(rows: asyncpg.Connection) -> int:
    return await rows.fetchval("SELECT count(*) FROM jobs.jobs WHERE kind = 'tests.once'")


async def test_an_answer_too_large_to_keep_is_not_done_again(small, rows) -> None:
    client, counter = small
    headers, before = {"Idempotency-Key": some_key()}, await effects(rows)
    first, again = [await client.post("/long", headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 409)
    assert again.json()["code"] == "idempotency.answer_not_kept"
    assert again.json()["answered"] == 200
    assert counter.done == 1
    assert await effects(rows) == before + 1


@pytest.mark.parametrize("path", ["/refused?status=422", "/refused?status=503", "/broken"])
async def test_a_refusal_leaves_no_effect_and_frees_the_key(small, rows, path: str) -> None:
    client, counter = small
    headers, before = {"Idempotency-Key": some_key()}, await effects(rows)
    for _ in range(2):
        answer = await client.post(path, headers=headers)
        assert answer.status_code in (422, 503, 500)
    assert counter.done == 2
    assert await effects(rows) == before


async def test_an_answer_is_only_kept_with_its_effect(small, rows) -> None:
    client, _ = small
    headers, before = {"Idempotency-Key": some_key()}, await effects(rows)
    first, again = [await client.post("/cut-off", headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (503, 503)
    assert await effects(rows) == before


async def test_an_operation_can_ask_for_a_key(small) -> None:
    client, _ = small
    answer = await client.post("/demanding")
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency.key_required"
    assert (await client.post("/demanding", headers={"Idempotency-Key": some_key()})).status_code == 200


def test_every_refusal_is_in_the_catalogue() -> None:
    codes = {"malformed_key", "key_required", "key_reused", "in_progress", "answer_not_kept"}
    assert {f"idempotency.{code}" for code in codes} <= CATALOGUE.keys()
