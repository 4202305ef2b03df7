"""Resetting a forgotten password, and changing a known one."""

from urllib.parse import urlsplit

from tools.faults.people import some_email

NEW = "a new and long password"
RESET = "Choose a new password"


async def _forgot(client, email):
    return await client.post("/v1/auth/password/forgot", json={"email": email})


async def _reset(client, token, password=NEW):
    return await client.post("/v1/auth/password/reset", json={"token": token, "password": password})


async def _change(client, person, current, new=NEW):
    body = {"current_password": current, "new_password": new}
    return await client.post("/v1/auth/password/change", json=body, headers=person.headers)


def _is_invalid_token(answer):
    return (answer.status_code, answer.json()["code"]) == (400, "auth.invalid_token")


async def test_a_forgotten_password_is_reset_by_mail(client, inbox, user, sign_in, refresh):
    assert (await _forgot(client, user.email)).status_code == 202
    mail = await inbox.last(user.email, RESET)
    assert mail.subject == "Choose a new password"
    assert urlsplit(mail.link).path == "/reset-password"

    assert (await _reset(client, mail.token)).status_code == 204
    assert (await sign_in(user.email, user.password)).status_code == 400
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 401
    assert (await refresh(user.refresh_token)).status_code == 400

    tokens = (await sign_in(user.email, NEW)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/v1/users/me", headers=headers)).json()["email_verified"] is True
    told = await inbox.of(user.email)
    assert "Your password was changed" in [mail.subject for mail in told]


async def test_forgetting_an_unknown_address_gets_the_same_answer_for_the_same_work(client, user, rows):
    known = await _forgot(client, user.email)
    unknown = await _forgot(client, some_email())
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    ids = [known.headers["X-Request-Id"], unknown.headers["X-Request-Id"]]
    jobs = await rows("SELECT kind, request_id FROM jobs.jobs WHERE request_id = ANY($1)", ids)
    assert sorted(job["request_id"] for job in jobs) == sorted(ids)
    assert {job["kind"] for job in jobs} == {"auth.send_password_reset"}


async def test_a_reset_token_works_once(client, inbox, user):
    await _forgot(client, user.email)
    token = (await inbox.last(user.email, RESET)).token
    assert (await _reset(client, token)).status_code == 204
    assert _is_invalid_token(await _reset(client, token))


async def test_a_reset_token_expires(client, inbox, user, later):
    await _forgot(client, user.email)
    token = (await inbox.last(user.email, RESET)).token
    later(minutes=31)
    assert _is_invalid_token(await _reset(client, token))


async def test_a_new_request_voids_the_older_token(client, inbox, user):
    await _forgot(client, user.email)
    older = (await inbox.last(user.email, RESET)).token
    await _forgot(client, user.email)
    newer = (await inbox.last(user.email, RESET)).token
    assert _is_invalid_token(await _reset(client, older))
    assert (await _reset(client, newer)).status_code == 204


async def test_changing_the_password_voids_a_reset_token(client, inbox, user):
    await _forgot(client, user.email)
    token = (await inbox.last(user.email, RESET)).token
    assert (await _change(client, user, user.password)).status_code == 204
    assert _is_invalid_token(await _reset(client, token, "yet another long password"))


async def test_a_verification_token_resets_nothing(client, inbox, user):
    token = (await inbox.last(user.email)).token
    assert _is_invalid_token(await _reset(client, token))


async def test_a_refused_password_does_not_use_the_token_up(client, inbox, user):
    await _forgot(client, user.email)
    token = (await inbox.last(user.email, RESET)).token
    for password in ("password1", user.email, "short"):
        assert (await _reset(client, token, password)).status_code == 422
    assert (await _reset(client, token)).status_code == 204


async def test_a_reset_lets_in_who_had_run_out_of_attempts(client, inbox, user, sign_in):
    for _ in range(11):
        answer = await sign_in(user.email, "wrong wrong wrong")
    assert answer.status_code == 429
    await _forgot(client, user.email)
    await _reset(client, (await inbox.last(user.email, RESET)).token)
    assert (await sign_in(user.email, NEW)).status_code == 200


async def test_a_disabled_account_gets_no_reset_mail(client, inbox, user, admin):
    await inbox.of(user.email)
    await client.post(f"/v1/users/{user.id}/disable", headers=admin.headers)
    before = await inbox.of(user.email)
    assert (await _forgot(client, user.email)).status_code == 202
    assert await inbox.of(user.email) == before


async def test_mails_to_an_address_are_limited_together(client, user):
    for _ in range(4):  # the registration was the first
        assert (await _forgot(client, user.email)).status_code == 202
    assert (await _forgot(client, user.email)).status_code == 429
    answer = await client.post("/v1/auth/email/verify/resend", json={"email": user.email})
    assert answer.status_code == 429


async def test_the_current_password_is_needed_to_change_it(client, user, sign_in):
    answer = await _change(client, user, "not the current one")
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.wrong_password")
    assert (await sign_in(user.email, user.password)).status_code == 200


async def test_a_changed_password_ends_the_other_sessions_only(client, people, verified, sign_in, inbox):
    user = verified
    elsewhere = await people.sign_in(user.email, user.password)
    assert (await _change(client, user, user.password)).status_code == 204
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 200
    assert (await client.get("/v1/users/me", headers=elsewhere.headers)).status_code == 401
    assert (await sign_in(user.email, user.password)).status_code == 400
    assert (await sign_in(user.email, NEW)).status_code == 200
    assert "Your password was changed" in [mail.subject for mail in await inbox.of(user.email)]


async def test_a_common_password_is_no_new_password(client, user):
    answer = await _change(client, user, user.password, "password1")
    assert (answer.status_code, answer.json()["code"]) == (422, "auth.password_refused")


async def test_a_borrowed_session_can_not_guess_the_password(client, user):
    for _ in range(10):
        assert (await _change(client, user, "a wrong guess")).status_code == 403
    answer = await _change(client, user, user.password)
    assert (answer.status_code, answer.json()["code"]) == (429, "auth.too_many_attempts")
