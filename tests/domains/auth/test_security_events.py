"""The audit log as administrators read it: by page, or all of it as lines of JSON."""

import asyncio
import json
import tracemalloc
from uuid import uuid4

import pytest

from domains.auth.schemas.events import SecurityEventFilter
from domains.auth.service.events import BATCH_SIZE
from tests.conftest import some_address

NDJSON = {"Accept": "application/x-ndjson"}
WRITE = (
    "INSERT INTO auth.security_events (id, event, user_id, address, details, created_at)"
    " SELECT gen_random_uuid(), 'login_failed', $1, $2, jsonb_build_object('number', number),"
    " now() - interval '1 day' + number * interval '1 ms' FROM generate_series(1, $3::int) AS number"
)


async def listed(client, admin, **query):
    answer = await client.get("/v1/security-events", params=query, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def exported(client, admin, **query):
    answer = await client.get("/v1/security-events", params=query, headers=admin.headers | NDJSON)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_events_are_found_by_whom_what_where_and_when(client, admin, user, sign_in):
    address = some_address()
    await sign_in(user.email, "wrong", address=address)
    (event,) = await listed(client, admin, user_id=str(user.id), kind="login_failed")
    assert event["address"] == address
    assert event["agent"] == "tests"
    assert [each["id"] for each in await listed(client, admin, address=address)] == [event["id"]]
    at = event["created_at"]
    assert event in await listed(client, admin, user_id=str(user.id), since=at)
    assert event not in await listed(client, admin, user_id=str(user.id), until=at)
    assert await listed(client, admin, user_id=str(uuid4())) == []
    kinds = [each["kind"] for each in await listed(client, admin, user_id=str(user.id))]
    assert kinds[0] == "login_failed"
    assert {"registration_requested", "login_succeeded"} <= set(kinds)


async def test_the_list_is_whole(client, admin, rows):
    user_id = uuid4()
    await rows(WRITE, user_id, some_address(), 5)
    found, query = [], {"user_id": str(user_id), "limit": 2, "include_total": "true"}
    while query.get("cursor", "") is not None:
        answer = await client.get("/v1/security-events", params=query, headers=admin.headers)
        page = answer.json()
        assert page["total"] == 5
        assert ('rel="next"' in answer.headers.get("Link", "")) == (page["next_cursor"] is not None)
        found += page["data"]
        query["cursor"] = page["next_cursor"]
    assert [each["details"]["number"] for each in found] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=0.5", "since=2026-03-14T00:00:00", "user_id=1", "sort=kind"]
)
async def test_what_can_not_be_asked_is_refused(client, admin, query):
    assert (await client.get(f"/v1/security-events?{query}", headers=admin.headers)).status_code == 422


async def test_the_audit_log_is_for_administrators(client, user):
    for headers in ({}, NDJSON):
        answer = await client.get("/v1/security-events", headers=user.headers | headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.missing_scope")


async def test_an_export_has_all_that_match_the_oldest_first(client, admin, rows):
    user_id, address = uuid4(), some_address()
    number = 2 * BATCH_SIZE + 3
    await rows(WRITE, user_id, address, number)
    found = await exported(client, admin, user_id=str(user_id))
    assert [each["details"]["number"] for each in found] == list(range(1, number + 1))
    page = await listed(client, admin, user_id=str(user_id), sort="created_at")
    assert found[: len(page)] == page
    assert await exported(client, admin, user_id=str(user_id), address=address, kind="logged_out") == []


async def test_an_export_ends_though_events_go_on(composition, client, admin, user, rows, sign_in):
    """An export that is read slowly has what there was when it began."""
    pieces = composition.auth.events().lines(SecurityEventFilter(user_id=user.id))
    first = await anext(pieces)
    await sign_in(user.email, "wrong")
    assert b"login_succeeded" in first
    assert [piece async for piece in pieces if b"login_failed" in piece] == []


async def test_an_export_needs_no_more_memory_when_it_is_longer(composition, app, rows):
    """The most memory that is in use meanwhile is compared: of three and of thirty pieces."""

    async def peak(pieces: int) -> int:
        user_id = uuid4()
        await rows(WRITE, user_id, some_address(), pieces * BATCH_SIZE)
        tracemalloc.start()
        length = 0
        async for piece in composition.auth.events().lines(SecurityEventFilter(user_id=user_id)):
            length += piece.count(b"\n")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert length == pieces * BATCH_SIZE
        return most

    await peak(1)
    short, long = await peak(3), await peak(30)
    assert long < 2 * short + (1 << 20), (short, long)


async def test_exports_count_as_downloads_in_progress(client, admin, app):
    account = app.state.api.concurrency
    before = json.dumps(account.__dict__, default=str)
    await asyncio.gather(*(exported(client, admin, kind="nothing") for _ in range(3)))
    assert json.dumps(account.__dict__, default=str) == before
