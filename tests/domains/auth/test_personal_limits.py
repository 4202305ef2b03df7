"""Limits of single accounts, which override the settings."""

import asyncio
import time

import pytest

from domains.auth.schemas.limits import AllowanceRow, AllowancesState
from domains.auth.service.allowances import AllowanceCache
from shared.ids import new_id

NONE = {"max_bytes": None, "max_files": None, "max_requests": None}


async def upload(client, person, size=10):
    files = {"file": ("a.txt", b"x" * size, "text/plain")}
    return await client.post("/v1/files", files=files, headers=person.headers)


async def set_limits(client, admin, person, **limits):
    answer = await client.put(f"/v1/users/{person.id}/limits", json=limits, headers=admin.headers)
    assert answer.status_code == 200, answer.text
    return answer


async def test_limits_are_set_read_and_reset(client, admin, user):
    address = f"/v1/users/{user.id}/limits"
    first = await client.get(address, headers=admin.headers)
    assert first.json() == NONE
    answer = await set_limits(client, admin, user, max_bytes=5000, max_requests=10_000)
    assert answer.json() == NONE | {"max_bytes": 5000, "max_requests": 10_000}
    again = await client.get(address, headers=admin.headers)
    assert (again.json(), again.headers["ETag"]) == (answer.json(), answer.headers["ETag"])
    stale = admin.headers | {"If-Match": first.headers["ETag"]}
    refused = await client.put(address, json={"max_files": 1}, headers=stale)
    assert (refused.status_code, refused.json()["code"]) == (412, "request.precondition_failed")
    fresh = admin.headers | {"If-Match": again.headers["ETag"]}
    assert (await client.delete(address, headers=fresh)).status_code == 204
    assert (await client.get(address, headers=admin.headers)).json() == NONE
    late = await client.delete(address, headers=stale)
    assert late.status_code == 412


@pytest.mark.parametrize(
    "limits",
    [
        {"max_bytes": -1},
        {"max_files": 1.5},
        {"max_requests": 0},
        {"max_bytes": 1 << 53},
        {"max_files": False},
        {"max_requests": "9"},
        {"bytes": 1},
    ],
)
async def test_limits_that_can_not_be_are_refused(client, admin, user, limits):
    answer = await client.put(f"/v1/users/{user.id}/limits", json=limits, headers=admin.headers)
    assert answer.status_code == 422


async def test_a_person_may_keep_as_much_as_their_own_limit_says(client, admin, user, other):
    await set_limits(client, admin, user, max_bytes=100)
    assert (await upload(client, user, 60)).status_code == 201
    refused = await upload(client, user, 60)
    assert (refused.status_code, refused.json()["code"]) == (413, "files.quota_exceeded")
    assert refused.json()["quota_bytes"] == 100
    usage = (await client.get("/v1/files/usage", headers=user.headers)).json()
    assert (usage["bytes"], usage["quota_bytes"]) == (60, 100)
    assert usage["max_count"] == 100_000
    assert (await upload(client, other, 200)).status_code == 201
    await client.delete(f"/v1/users/{user.id}/limits", headers=admin.headers)
    assert (await upload(client, user, 60)).status_code == 201


async def test_a_person_may_keep_as_many_files_as_their_own_limit_says(client, admin, user):
    await set_limits(client, admin, user, max_files=1)
    assert (await upload(client, user)).status_code == 201
    refused = await upload(client, user)
    assert (refused.status_code, refused.json()["max_count"]) == (413, 1)


async def test_a_person_may_ask_as_often_as_their_own_limit_says(client, admin, user, other):
    await set_limits(client, admin, user, max_requests=7)
    until = time.monotonic() + 20
    while (answer := await client.get("/v1/users/me", headers=user.headers)).status_code == 200:
        assert time.monotonic() < until, answer.headers["RateLimit-Policy"]
        if answer.headers["RateLimit-Policy"] != '"default";q=7;w=60':
            await asyncio.sleep(0.1)
    assert (answer.status_code, answer.json()["code"]) == (429, "request.rate_limited")
    free = await client.get("/v1/users/me", headers=other.headers)
    assert (free.status_code, free.headers["RateLimit-Policy"]) == (200, '"default";q=600;w=60')


async def test_limits_go_with_the_account(client, admin, user, rows, work_off):
    await set_limits(client, admin, user, max_files=3)
    await client.delete(f"/v1/users/{user.id}", headers=admin.headers)
    await work_off()
    assert await rows("SELECT 1 FROM auth.allowances WHERE user_id = $1", user.id) == []


async def test_what_somebody_keeps_is_shown_to_administrators_without_its_bytes(client, admin, user, other):
    file = (await upload(client, user)).json()
    address = f"/v1/files/owners/{user.id}"
    listed = (await client.get(address, headers=admin.headers)).json()["data"]
    assert [(each["id"], each["name"]) for each in listed] == [(file["id"], "a.txt")]
    assert (await client.get(f"{address}/usage", headers=admin.headers)).json()["count"] == 1
    assert (await client.get(address, params={"deleted": True}, headers=admin.headers)).json()["data"] == []
    assert (await client.get(f"/v1/files/{file['id']}/content", headers=admin.headers)).status_code == 404
    assert (await client.get(address, headers=other.headers)).status_code == 403


async def test_the_mails_of_somebody_are_found_by_their_owner(client, admin, user, other, work_off):
    await work_off()
    query = {"owner_id": str(user.id)}
    (mail,) = (await client.get("/v1/emails", params=query, headers=admin.headers)).json()["data"]
    assert (mail["recipient"], mail["owner_id"]) == (user.email, str(user.id))


class Rows:
    """Rows of another process, and how often they were asked for."""

    def __init__(self):
        self.found, self.looks, self.reads = [], 0, 0

    async def state(self):
        self.looks += 1
        return AllowancesState(
            number=len(self.found), revisions=sum(row.revision for row in self.found), latest=None
        )

    async def all(self):
        self.reads += 1
        return list(self.found)


async def test_a_change_by_another_process_counts_after_the_documented_delay():
    now, rows, owner = [0.0], Rows(), new_id()
    cache = AllowanceCache(rows=rows, seconds=10, now=lambda: now[0])
    assert (await cache.quota_of(owner)).max_bytes is None
    rows.found = [AllowanceRow(user_id=owner, max_bytes=5, max_requests=9, revision=1)]
    now[0] = 9.9
    assert (await cache.quota_of(owner)).max_bytes is None
    now[0] = 10
    assert (await cache.quota_of(owner)).max_bytes == 5
    assert await cache.requests() == {owner.int: 9}
    for moment in (20, 30, 31):
        now[0] = moment
        await cache.quota_of(owner)
    assert (rows.looks, rows.reads) == (4, 2)
    rows.found = []
    cache.forget()
    assert (await cache.quota_of(owner)).max_bytes is None


async def test_a_look_that_a_change_overtakes_does_not_hide_it():
    rows, owner, read, go_on = Rows(), new_id(), asyncio.Event(), asyncio.Event()
    cache, state = AllowanceCache(rows=rows, seconds=10), rows.state

    async def slowly():
        found = await state()
        read.set()
        await go_on.wait()
        return found

    rows.state = slowly
    overtaken = asyncio.create_task(cache.quota_of(owner))
    await read.wait()
    rows.found = [AllowanceRow(user_id=owner, max_bytes=5, revision=1)]
    cache.forget()
    go_on.set()
    assert (await overtaken).max_bytes == 5
    assert (await cache.quota_of(owner)).max_bytes == 5
