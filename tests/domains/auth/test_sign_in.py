"""Signing in: equal responses to all wrong credentials, limits, and sessions that end at once."""

import asyncio
import json
from uuid import uuid4

import pytest

from domains.auth.gateway.passwords import Verification
from tests.conftest import some_address
from tools.faults.people import PASSWORD, some_email

WRONG = "not the right password"


async def test_the_right_password_gets_the_tokens_of_oauth2(client, user, sign_in):
    answer = await sign_in(user.email, user.password)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token", "session_id"}
    assert answer.json()["expires_in"] == 900


async def test_any_spelling_of_the_address_signs_in(user, sign_in):
    assert (await sign_in(user.email.upper(), user.password)).status_code == 200


async def test_unknown_wrong_and_disabled_get_the_same_answer(client, user, admin, other, sign_in):
    await client.post(f"/v1/users/{other.id}/disable", headers=admin.headers)
    answers = [
        await sign_in(user.email, WRONG),
        await sign_in(some_email(), WRONG),
        await sign_in(other.email, other.password),
        await sign_in("no address at all", WRONG),
    ]
    bodies = [{**answer.json(), "request_id": None} for answer in answers]
    assert [answer.status_code for answer in answers] == [400] * 4
    assert all(body == bodies[0] for body in bodies)
    assert bodies[0]["code"] == "auth.invalid_credentials"
    assert bodies[0]["error"] == "invalid_grant"
    assert bodies[0]["error_description"] == bodies[0]["detail"]
    assert not any("WWW-Authenticate" in answer.headers for answer in answers)


async def test_after_ten_wrong_passwords_the_address_waits_but_its_session_lives(
    client, user, sign_in, later
):
    for _ in range(10):
        assert (await sign_in(user.email, WRONG, address=some_address())).status_code == 400
    answer = await sign_in(user.email, user.password, address=some_address())
    assert (answer.status_code, answer.json()["code"]) == (429, "auth.too_many_attempts")
    assert answer.json()["error"] == "temporarily_unavailable"
    assert 0 < int(answer.headers["Retry-After"]) <= 900
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 200
    later(minutes=16)
    assert (await sign_in(user.email, user.password)).status_code == 200


async def test_an_unknown_address_waits_too(sign_in):
    email = some_email()
    for _ in range(10):
        assert (await sign_in(email, WRONG)).status_code == 400
    assert (await sign_in(email, WRONG)).status_code == 429


async def test_parallel_guesses_are_all_counted(user, sign_in):
    answers = await asyncio.gather(*(sign_in(user.email, WRONG) for _ in range(16)))
    assert sorted(answer.status_code for answer in answers) == [400] * 10 + [429] * 6


async def test_a_right_password_forgets_the_wrong_ones(user, sign_in):
    for _ in range(2):
        for _ in range(9):
            assert (await sign_in(user.email, WRONG)).status_code == 400
        assert (await sign_in(user.email, user.password)).status_code == 200


async def test_a_hundred_failures_from_one_network_are_enough(sign_in, composition, monkeypatch):
    network = "198.19.200"  # no other test comes from here

    async def quick(_password, _hash):
        await asyncio.sleep(0)
        return Verification(matches=False)

    monkeypatch.setattr(composition.auth.hasher(), "verify", quick)
    for number in range(100):
        answer = await sign_in(some_email(), WRONG, address=f"{network}.{number + 1}")
        assert answer.status_code == 400
    assert (await sign_in(some_email(), WRONG, address=f"{network}.250")).status_code == 429
    assert (await sign_in(some_email(), WRONG, address=some_address())).status_code == 400


async def test_a_forwarded_address_from_a_stranger_changes_nothing(app, rows):
    import httpx

    stranger = httpx.ASGITransport(app, client=("203.0.113.9", 40_000))
    async with httpx.AsyncClient(transport=stranger, base_url="http://127.0.0.1:8000") as client:
        form = {"grant_type": "password", "username": (email := some_email()), "password": PASSWORD}
        await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
        tokens = await client.post("/v1/auth/token", data=form, headers={"X-Forwarded-For": "1.2.3.4"})
    assert tokens.status_code == 200
    (session,) = await rows("SELECT address FROM auth.sessions WHERE id = $1", tokens.json()["session_id"])
    assert session["address"] == "203.0.113.9"


@pytest.mark.parametrize(
    ("form", "status", "code", "error"),
    [
        ({}, 400, "auth.invalid_token_request", "invalid_request"),
        ({"grant_type": "password"}, 400, "auth.invalid_token_request", "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "auth.invalid_token_request", "invalid_request"),
        ({"grant_type": "implicit"}, 400, "auth.unsupported_grant_type", "unsupported_grant_type"),
        (
            {"grant_type": "password", "username": "a@example.com", "password": "x" * 257},
            400,
            "auth.password_too_long",
            "invalid_request",
        ),
        (
            {"grant_type": "refresh_token", "refresh_token": "made up"},
            400,
            "auth.invalid_refresh_token",
            "invalid_grant",
        ),
    ],
)
async def test_a_form_that_makes_no_sense_gets_a_problem_in_words_of_oauth2(
    client, form, status, code, error
):
    answer = await client.post("/v1/auth/token", data=form)
    assert (answer.status_code, answer.json()["code"], answer.json()["error"]) == (status, code, error)


async def test_nul_and_broken_text_in_the_form_are_no_accident(client, sign_in):
    assert (await sign_in("a\x00b@example.com", "x\x00y")).status_code == 400
    raw = b"grant_type=password&username=%ff%fe&password=%ed%a0%80"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("/v1/auth/token", content=raw, headers=headers)).status_code == 400


async def test_where_verified_addresses_are_wanted_nobody_else_signs_in(
    client, composition, inbox, sign_in, rows, monkeypatch
):
    service = composition.auth.sign_in()
    settings = service.settings.model_copy(update={"auth_require_verified_email": True})
    monkeypatch.setattr(service, "settings", settings)
    email = some_email()
    await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    answer = await sign_in(email, PASSWORD)
    assert (answer.status_code, answer.json()["code"]) == (400, "auth.address_not_verified")
    (event,) = await rows(
        "SELECT details FROM auth.security_events JOIN users.users ON users.id = user_id"
        " WHERE email = $1 AND event = 'login_failed'",
        email,
    )
    assert json.loads(event["details"]) == {"reason": "address not verified"}
    await client.post("/v1/auth/email/verify", json={"token": (await inbox.last(email)).token})
    assert (await sign_in(email, PASSWORD)).status_code == 200


async def test_logging_out_ends_access_and_refresh_at_once(client, user, refresh):
    answer = await client.post("/v1/auth/logout", headers=user.headers)
    assert answer.status_code == 204
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 401
    again = await refresh(user.refresh_token)
    assert (again.status_code, again.json()["code"]) == (400, "auth.invalid_refresh_token")


@pytest.mark.parametrize(
    ("scope", "here", "there"), [("this", 401, 200), ("others", 200, 401), ("all", 401, 401)]
)
async def test_logging_out_reaches_as_far_as_it_is_told(client, people, user, scope, here, there):
    elsewhere = await people.sign_in(user.email, user.password)
    answer = await client.post(f"/v1/auth/logout?scope={scope}", headers=user.headers)
    assert answer.status_code == 204
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == here
    assert (await client.get("/v1/users/me", headers=elsewhere.headers)).status_code == there


async def test_an_unknown_scope_of_logout_is_refused(client, user):
    answer = await client.post("/v1/auth/logout?scope=everybody", headers=user.headers)
    assert answer.status_code == 422


async def test_people_see_and_end_their_sessions(client, people, user):
    elsewhere = await people.sign_in(user.email, user.password)
    page = (await client.get("/v1/auth/sessions", headers=user.headers)).json()
    assert {session["id"]: session["current"] for session in page["data"]} == {
        str(user.session_id): True,
        str(elsewhere.session_id): False,
    }
    assert page["data"][0].keys() == {"id", "address", "agent", "created_at", "last_used_at", "current"}

    ended = await client.delete(f"/v1/auth/sessions/{elsewhere.session_id}", headers=user.headers)
    assert ended.status_code == 204
    assert (await client.get("/v1/users/me", headers=elsewhere.headers)).status_code == 401
    again = await client.delete(f"/v1/auth/sessions/{elsewhere.session_id}", headers=user.headers)
    assert again.status_code == 404


async def test_the_list_of_sessions_has_pages(client, people, user):
    await people.sign_in(user.email, user.password)
    first = await client.get("/v1/auth/sessions?limit=1&sort=created_at", headers=user.headers)
    cursor = first.json()["next_cursor"]
    query = {"limit": 1, "sort": "created_at", "cursor": cursor}
    second = await client.get("/v1/auth/sessions", headers=user.headers, params=query)
    assert 'rel="next"' in first.headers["Link"]
    assert first.json()["data"][0]["id"] == str(user.session_id)
    assert second.json()["next_cursor"] is None
    assert len(second.json()["data"]) == 1


async def test_anothers_session_can_not_be_told_from_none(client, user, other):
    theirs = await client.delete(f"/v1/auth/sessions/{other.session_id}", headers=user.headers)
    none = await client.delete(f"/v1/auth/sessions/{uuid4()}", headers=user.headers)
    assert theirs.status_code == none.status_code == 404
    assert theirs.json()["code"] == none.json()["code"] == "auth.session_not_found"
    assert (await client.get("/v1/users/me", headers=other.headers)).status_code == 200


async def test_a_sign_in_from_somewhere_new_is_told_by_mail(verified, sign_in, inbox, address):
    user = verified
    before = len(await inbox.of(user.email))
    await sign_in(user.email, user.password, address=address, agent="a new phone")
    mails = await inbox.of(user.email)
    assert len(mails) == before + 1
    assert mails[-1].subject == "New sign-in to your account"
    assert address in mails[-1].text
    await sign_in(user.email, user.password, address=address, agent="a new phone")
    assert len(await inbox.of(user.email)) == before + 1


async def test_the_last_use_of_a_session_is_written_down_once_a_minute(client, user, rows, later):
    async def last_used():
        (row,) = await rows("SELECT last_used_at FROM auth.sessions WHERE id = $1", user.session_id)
        return row["last_used_at"]

    first = await last_used()
    await client.get("/v1/users/me", headers=user.headers)
    assert await last_used() == first
    later(minutes=2)
    await client.get("/v1/users/me", headers=user.headers)
    second = await last_used()
    assert second > first
    await client.get("/v1/users/me", headers=user.headers)
    assert await last_used() == second


async def test_a_weaker_hash_is_replaced_at_the_next_sign_in(user, sign_in, rows, composition):
    from pwdlib.hashers.argon2 import Argon2Hasher

    weak = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1).hash(user.password)
    await rows("UPDATE auth.accounts SET password_hash = $1 WHERE user_id = $2", weak, user.id)
    assert (await sign_in(user.email, user.password)).status_code == 200
    (row,) = await rows("SELECT password_hash FROM auth.accounts WHERE user_id = $1", user.id)
    assert row["password_hash"].startswith("$argon2id$v=19$m=8,t=2,p=1$")


async def test_the_audit_log_keeps_successes_and_failures_with_their_request(client, user, sign_in, rows):
    await sign_in(user.email, WRONG)
    audit_log = await rows("SELECT * FROM auth.security_events WHERE user_id = $1 ORDER BY id", user.id)
    assert [line["event"] for line in audit_log] == [
        "registration_requested",
        "login_succeeded",
        "login_failed",
    ]
    assert all(line["request_id"] and line["address"].startswith("198.18.") for line in audit_log)


async def test_sign_ins_at_once_leave_no_place_taken(user, sign_in, composition):
    answers = await asyncio.gather(*(sign_in(user.email, user.password) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    slots = composition.auth.hasher()._slots
    assert slots._value == slots._initial_value
