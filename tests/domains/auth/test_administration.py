"""Actions of administrators on other accounts, over HTTP."""

import asyncio
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from bootstrap.migrations.runner import migrate
from domains.auth.errors import LastAdministrator
from domains.auth.models import Role
from shared.audit import Actor
from tests.installations import isolated_settings, running
from tools.faults.people import some_email

OPERATOR = Actor(operator="somebody@here")


async def test_administrators_see_status_role_and_last_sign_in(client, admin, user):
    async def seen(person):
        listed = await client.get("/v1/users", params={"email": person.email}, headers=admin.headers)
        shown = await client.get(f"/v1/users/{person.id}", headers=admin.headers)
        assert listed.json()["data"] == [shown.json()]
        return shown.json()

    body = await seen(user)
    assert (body["status"], body["role"]) == ("active", "user")
    assert body["last_sign_in_at"] > body["created_at"]
    assert (await seen(admin))["role"] == "admin"
    await client.post(f"/v1/users/{user.id}/disable", headers=admin.headers)
    assert (await seen(user))["status"] == "disabled"


async def test_who_never_signed_in_has_no_last_sign_in(client, admin, rows):
    email = some_email()
    await client.post("/v1/auth/register", json={"email": email, "password": "a fine long secret 1"})
    (body,) = (await client.get("/v1/users", params={"email": email}, headers=admin.headers)).json()["data"]
    assert body["last_sign_in_at"] is None


async def test_the_etag_of_a_user_changes_with_the_account(client, admin, user):
    address = f"/v1/users/{user.id}"
    tag = (await client.get(address, headers=admin.headers)).headers["ETag"]
    known = admin.headers | {"If-None-Match": tag}
    assert (await client.get(address, headers=known)).status_code == 304
    await client.post(f"{address}/disable", headers=admin.headers)
    assert (await client.get(address, headers=known)).status_code == 200


@pytest.mark.parametrize("is_disabled", [False, True])
async def test_an_administrator_erases_an_account_disabled_or_not(
    client, admin, user, rows, work_off, sign_in, is_disabled
):
    if is_disabled:
        await client.post(f"/v1/users/{user.id}/disable", headers=admin.headers)
    answer = await client.delete(f"/v1/users/{user.id}", headers=admin.headers)
    assert answer.status_code == 204
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 401
    assert (await sign_in(user.email, user.password)).status_code == 400
    again = await client.delete(f"/v1/users/{user.id}", headers=admin.headers)
    assert (again.status_code, again.json()["code"]) == (404, "auth.account_not_found")
    await work_off()
    assert await rows("SELECT 1 FROM users.users WHERE id = $1", user.id) == []
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1", user.id) == []


async def test_an_administrator_signs_somebody_out_everywhere(client, admin, people, user, rows):
    second = await people.sign_in(user.email)
    listed = await client.get(f"/v1/users/{user.id}/sessions", headers=admin.headers)
    assert {each["id"] for each in listed.json()["data"]} == {str(user.session_id), str(second.session_id)}
    answer = await client.delete(f"/v1/users/{user.id}/sessions", headers=admin.headers)
    assert answer.status_code == 204
    for person in (user, second):
        assert (await client.get("/v1/users/me", headers=person.headers)).status_code == 401
    assert (await people.sign_in(user.email)).id == user.id
    ended = await rows("SELECT end_reason FROM auth.sessions WHERE id = $1", user.session_id)
    assert ended == [("revoked",)]


async def test_a_role_counts_from_the_next_request(client, admin, verified):
    address = f"/v1/users/{verified.id}"
    assert (await client.get("/v1/users", headers=verified.headers)).status_code == 403
    for role, status in (("admin", 200), ("user", 403)):
        answer = await client.patch(address, json={"role": role}, headers=admin.headers)
        assert answer.status_code == 204, answer.text
        assert (await client.get("/v1/users", headers=verified.headers)).status_code == status


async def test_only_a_verified_address_becomes_an_administrators(client, admin, user):
    answer = await client.patch(f"/v1/users/{user.id}", json={"role": "admin"}, headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "auth.unverified_account")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("PATCH", "", {"role": "user"}),
        ("POST", "/disable", None),
    ],
)
async def test_administrators_do_nothing_of_this_to_themselves(client, admin, method, path, body):
    address = f"/v1/users/{admin.id}{path}"
    answer = await client.request(method, address, json=body, headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "auth.own_account")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("PATCH", "", {"role": "user"}),
        ("DELETE", "/sessions", None),
        ("GET", "/limits", None),
        ("PUT", "/limits", {"max_bytes": 1}),
        ("DELETE", "/limits", None),
    ],
)
async def test_nobody_is_nobody(client, admin, method, path, body):
    address = f"/v1/users/{uuid4()}{path}"
    answer = await client.request(method, address, json=body, headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "auth.account_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "", None),
        ("PATCH", "", {"role": "user"}),
        ("POST", "/disable", None),
        ("POST", "/enable", None),
        ("DELETE", "/sessions", None),
    ],
)
async def test_who_was_changed_meanwhile_is_left_alone(client, admin, user, method, path, body):
    address = f"/v1/users/{user.id}"
    tag = (await client.get(address, headers=admin.headers)).headers["ETag"]
    await client.patch("/v1/users/me", json={"name": "Somebody else"}, headers=user.headers)
    stale, fresh = admin.headers | {"If-Match": tag}, admin.headers
    answer = await client.request(method, f"{address}{path}", json=body, headers=stale)
    assert (answer.status_code, answer.json()["code"]) == (412, "request.precondition_failed")
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 200
    fresh = fresh | {"If-Match": (await client.get(address, headers=admin.headers)).headers["ETag"]}
    assert (await client.request(method, f"{address}{path}", json=body, headers=fresh)).status_code == 204


async def test_each_act_is_in_the_audit_log_with_actor_and_address(client, admin, verified, rows):
    address = f"/v1/users/{verified.id}"
    acts = [
        ("PATCH", "", {"role": "admin"}, "role_changed"),
        ("PUT", "/limits", {"max_files": 7}, "limits_changed"),
        ("DELETE", "/sessions", None, "session_revoked"),
        ("POST", "/disable", None, "account_disabled"),
        ("POST", "/enable", None, "account_enabled"),
        ("DELETE", "", None, "account_deleted"),
    ]
    with capture_logs() as lines:
        for method, path, body, _ in acts:
            answer = await client.request(method, f"{address}{path}", json=body, headers=admin.headers)
            assert answer.status_code < 300, answer.text
    found = await rows(
        "SELECT event, address, details->>'by' AS by FROM auth.security_events"
        " WHERE user_id = $1 AND details ? 'by' ORDER BY id",
        verified.id,
    )
    expected = [(event, client.headers["X-Forwarded-For"], str(admin.id)) for *_, event in acts]
    assert [tuple(line) for line in found] == expected
    told = [line for line in lines if line["event"] == "security_event"]
    assert [(line["kind"], line["address"], line["by"]) for line in told] == expected
    assert {line["user_id"] for line in told} == {str(verified.id)}


async def test_somebody_administers_until_the_end(settings, servers, tmp_path):
    """The last administrator stays one, whatever is tried, also by two at the same time."""
    own = await isolated_settings(settings, servers.superuser_url, tmp_path)
    await asyncio.to_thread(migrate, own)
    async with running(own) as installation:
        first, second = await installation.people.administrator(), await installation.people.administrator()
        demotion = [
            installation.client.patch(f"/v1/users/{whom.id}", json={"role": "user"}, headers=who.headers)
            for who, whom in ((first, second), (second, first))
        ]
        statuses = [(await answer).status_code for answer in demotion]
        assert statuses == [204, 403]
        body = {"password": first.password}
        leaving = await installation.client.request(
            "DELETE", "/v1/users/me", json=body, headers=first.headers
        )
        assert (leaving.status_code, leaving.json()["code"]) == (409, "auth.last_administrator")
        accounts = installation.container.auth.administration()
        for act in (accounts.disable, accounts.erase):
            with pytest.raises(LastAdministrator):
                await act(OPERATOR, first.id)
        with pytest.raises(LastAdministrator):
            await accounts.set_role(OPERATOR, first.id, Role.USER)
        assert (await installation.client.get("/v1/users", headers=first.headers)).status_code == 200


async def test_of_two_who_leave_at_the_same_time_one_stays(settings, servers, tmp_path):
    own = await isolated_settings(settings, servers.superuser_url, tmp_path)
    await asyncio.to_thread(migrate, own)
    async with running(own) as installation:
        accounts = installation.container.auth.administration()
        admins = [await installation.people.administrator() for _ in range(4)]
        results = await asyncio.gather(
            *(accounts.disable(OPERATOR, each.id) for each in admins), return_exceptions=True
        )
        assert [type(result) for result in results if result is not None] == [LastAdministrator]
