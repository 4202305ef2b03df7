"""Refresh tokens rotate; reuse of an old one ends its session."""

import asyncio
import base64

import pytest


def _expired(answer, code):
    return (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_refresh_token_gets_the_next_pair(client, user, refresh):
    answer = await refresh(user.refresh_token)
    assert answer.status_code == 200
    tokens = answer.json()
    assert tokens["refresh_token"] != user.refresh_token
    assert tokens["session_id"] == str(user.session_id)
    me = await client.get("/v1/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.status_code == 200


async def test_the_parent_gets_the_current_one_again_within_ten_seconds(user, refresh, later):
    first = (await refresh(user.refresh_token)).json()
    later(seconds=9)
    assert (await refresh(user.refresh_token)).json()["refresh_token"] == first["refresh_token"]


async def test_the_parent_after_ten_seconds_ends_the_session_for_all(client, user, refresh, later, rows):
    current = (await refresh(user.refresh_token)).json()
    later(seconds=11)
    assert _expired(await refresh(user.refresh_token), "auth.refresh_reused")
    assert _expired(await refresh(current["refresh_token"]), "auth.invalid_refresh_token")
    headers = {"Authorization": f"Bearer {current['access_token']}"}
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 401
    (session,) = await rows("SELECT end_reason FROM auth.sessions WHERE id = $1", user.session_id)
    assert session["end_reason"] == "reused"
    (event,) = await rows(
        "SELECT address FROM auth.security_events WHERE session_id = $1 AND event = 'refresh_reused'",
        user.session_id,
    )
    assert event["address"]


async def test_a_grandparent_ends_the_session_at_once(user, refresh):
    parent = (await refresh(user.refresh_token)).json()["refresh_token"]
    current = (await refresh(parent)).json()["refresh_token"]
    assert _expired(await refresh(user.refresh_token), "auth.refresh_reused")
    assert _expired(await refresh(current), "auth.invalid_refresh_token")


async def test_parallel_refreshes_have_exactly_one_successor(user, refresh, rows):
    answers = await asyncio.gather(*(refresh(user.refresh_token) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    (session,) = await rows("SELECT counter FROM auth.sessions WHERE id = $1", user.session_id)
    assert session["counter"] == 1


async def test_an_unused_session_ends(user, refresh, later):
    later(days=31)
    assert _expired(await refresh(user.refresh_token), "auth.invalid_refresh_token")


async def test_a_used_session_ends_at_its_absolute_age(user, refresh, later):
    token = user.refresh_token
    for _ in range(4):
        later(days=22)
        token = (await refresh(token)).json()["refresh_token"]
    later(days=3)
    assert _expired(await refresh(token), "auth.invalid_refresh_token")


async def test_an_access_token_never_outlives_its_session(user, refresh, later):
    token = user.refresh_token
    for days in (29, 29, 29):
        later(days=days)
        token = (await refresh(token)).json()["refresh_token"]
    later(days=2, hours=23, minutes=55)
    answer = (await refresh(token)).json()
    assert 0 < answer["expires_in"] <= 300


async def test_refresh_tokens_of_others_making_are_refused(user, refresh):
    raw = bytearray(base64.urlsafe_b64decode(user.refresh_token + "="))
    for position in (0, 16, 23, 24, 55):
        forged = bytearray(raw)
        forged[position] ^= 1
        text = base64.urlsafe_b64encode(bytes(forged)).decode().rstrip("=")
        assert _expired(await refresh(text), "auth.invalid_refresh_token")
    assert (await refresh(user.refresh_token)).status_code == 200


@pytest.mark.parametrize("token", ["a", "=" * 10, "ä", "A" * 10_000, "\x00"])
async def test_what_is_no_refresh_token_is_refused(refresh, token):
    assert _expired(await refresh(token), "auth.invalid_refresh_token")


async def test_an_access_token_is_no_refresh_token_and_the_reverse(client, user, refresh):
    assert _expired(await refresh(user.access_token), "auth.invalid_refresh_token")
    headers = {"Authorization": f"Bearer {user.refresh_token}"}
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 401
