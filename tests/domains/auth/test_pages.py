"""The pages that links in mails open: they act on a click, not on being opened."""

import re
from html import escape

import pytest

PAGES = ["/verify-email?token=x", "/reset-password?token=x", "/forgot-password"]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_no_script_and_tells_nobody_its_address(client, path):
    answer = await client.get(path)
    assert answer.status_code == 200
    assert "<script" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_style_is_the_one_that_the_policy_allows(client):
    import base64
    import hashlib

    answer = await client.get("/forgot-password")
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


async def test_opening_the_verification_page_verifies_nothing_and_the_click_does(
    client, inbox, user, sign_in
):
    token = (await inbox.last(user.email)).token
    for _ in range(2):
        page = await client.get("/verify-email", params={"token": token})
        assert f'value="{token}"' in page.text
    assert (await client.get("/v1/users/me", headers=user.headers)).json()["email_verified"] is False

    done = await client.post("/verify-email", data={"token": token})
    assert done.status_code == 200
    assert "confirmed" in done.text
    tokens = (await sign_in(user.email, user.password)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/v1/users/me", headers=headers)).json()["email_verified"] is True


async def test_a_password_is_reset_on_the_page_and_a_refused_one_can_be_corrected(
    client, inbox, user, sign_in
):
    await client.post("/forgot-password", data={"email": user.email})
    token = (await inbox.last(user.email, "Choose a new password")).token
    for password in ("short", "password1"):
        refused = await client.post("/reset-password", data={"token": token, "password": password})
        assert refused.status_code == 422
        assert 'class="problem"' in refused.text
        assert f'value="{token}"' in refused.text
        assert password not in refused.text
    done = await client.post("/reset-password", data={"token": token, "password": "a long new password"})
    assert done.status_code == 200
    assert (await sign_in(user.email, "a long new password")).status_code == 200


@pytest.mark.parametrize("path", ["/verify-email", "/reset-password"])
@pytest.mark.parametrize("token", ["", "made up", "x" * 300])
async def test_a_bad_token_is_a_page_that_says_so(client, path, token):
    answer = await client.post(path, data={"token": token, "password": "a long new password"})
    assert answer.status_code in {400, 422}
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_what_stands_in_a_link_is_never_markup(client):
    evil = '"><script>alert(1)</script>'
    answer = await client.get("/verify-email", params={"token": evil})
    assert evil not in answer.text
    assert escape(evil, quote=False)[1:5] in answer.text


async def test_forgetting_on_the_page_tells_nothing(client, user):
    known = await client.post("/forgot-password", data={"email": user.email})
    unknown = await client.post("/forgot-password", data={"email": "nobody-at-all@example.com"})
    assert known.text == unknown.text
    assert (await client.post("/forgot-password", data={"email": "nobody"})).status_code == 422


async def test_too_many_mails_is_said_on_the_page(client, user):
    for _ in range(4):
        await client.post("/forgot-password", data={"email": user.email})
    answer = await client.post("/forgot-password", data={"email": user.email})
    assert answer.status_code == 429
    assert "Too many attempts" in answer.text
