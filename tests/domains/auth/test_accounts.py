"""Administrators, disabling and deletion of accounts."""

from uuid import uuid4

import pytest

from domains.auth.errors import AddressRefused, AddressTaken, PasswordRefused
from tools.faults.people import PASSWORD, some_email

LEFT_BEHIND = [
    "SELECT 1 FROM auth.sessions WHERE user_id = $1",
    "SELECT 1 FROM auth.registrations WHERE user_id = $1",
    "SELECT 1 FROM auth.one_time_tokens WHERE user_id = $1",
]


async def test_disabling_works_on_the_next_request(client, user, admin, sign_in, refresh):
    answer = await client.post(f"/v1/users/{user.id}/disable", headers=admin.headers)
    assert answer.status_code == 204
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 401
    assert (await refresh(user.refresh_token)).status_code == 400
    assert (await sign_in(user.email, user.password)).status_code == 400

    answer = await client.post(f"/v1/users/{user.id}/enable", headers=admin.headers)
    assert answer.status_code == 204
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 401
    assert (await sign_in(user.email, user.password)).status_code == 200


async def test_a_disabled_account_keeps_its_files_and_can_do_nothing(
    client, user, admin, inbox, sign_in, refresh
):
    files = {"file": ("a.txt", b"kept", "text/plain")}
    file = (await client.post("/v1/files", files=files, headers=user.headers)).json()
    await client.post("/v1/auth/password/forgot", json={"email": user.email})
    mails = await inbox.of(user.email)
    links = {mail.link.partition("?")[0].rpartition("/")[2]: mail.token for mail in mails}
    await client.post(f"/v1/users/{user.id}/disable", headers=admin.headers)

    verified = await client.post("/v1/auth/email/verify", json={"token": links["verify-email"]})
    body = {"token": links["reset-password"], "password": "a password of my own choice"}
    reset = await client.post("/v1/auth/password/reset", json=body)
    assert (verified.status_code, reset.status_code) == (400, 400)
    assert (await refresh(user.refresh_token)).status_code == 400
    assert (await sign_in(user.email, user.password)).status_code == 400
    assert (await client.get(f"/v1/files/{file['id']}", headers=user.headers)).status_code == 401
    for path in ("/v1/auth/password/forgot", "/v1/auth/email/verify/resend"):
        assert (await client.post(path, json={"email": user.email})).status_code == 202
    assert await inbox.of(user.email) == mails

    await client.post(f"/v1/users/{user.id}/enable", headers=admin.headers)
    tokens = (await sign_in(user.email, user.password)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    content = await client.get(f"/v1/files/{file['id']}/content", headers=headers)
    assert content.content == b"kept"


async def test_a_disabled_administrator_is_nobody(client, people, admin):
    second = await people.administrator()
    await client.post(f"/v1/users/{second.id}/disable", headers=admin.headers)
    assert (await client.get("/v1/users", headers=second.headers)).status_code == 401


async def test_a_lowered_role_counts_from_the_next_request(client, people, rows):
    second = await people.administrator()
    assert (await client.get("/v1/users", headers=second.headers)).status_code == 200
    await rows("UPDATE auth.accounts SET role = 'user' WHERE user_id = $1", second.id)
    assert (await client.get("/v1/users", headers=second.headers)).status_code == 403


@pytest.mark.parametrize("action", ["disable", "enable"])
async def test_only_administrators_disable_and_enable(client, user, other, action):
    answer = await client.post(f"/v1/users/{other.id}/{action}", headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.missing_scope")
    assert (await client.post(f"/v1/users/{other.id}/{action}")).status_code == 401
    assert (await client.get("/v1/users/me", headers=other.headers)).status_code == 200


async def test_administrators_do_not_lock_themselves_out(client, admin):
    answer = await client.post(f"/v1/users/{admin.id}/disable", headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "auth.own_account")


@pytest.mark.parametrize("action", ["disable", "enable"])
async def test_an_account_that_is_not_there_is_not_found(client, admin, action):
    answer = await client.post(f"/v1/users/{uuid4()}/{action}", headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "auth.account_not_found")


async def test_deleting_oneself_needs_the_password(client, user):
    answer = await client.request("DELETE", "/v1/users/me", json={"password": "wrong"}, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.wrong_password")
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 200


async def test_a_deleted_account_is_erased_and_its_audit_log_kept(
    client, user, admin, sign_in, inbox, rows, work_off
):
    await inbox.of(user.email)
    answer = await client.request(
        "DELETE", "/v1/users/me", json={"password": user.password}, headers=user.headers
    )
    assert answer.status_code == 204
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 401
    assert (await sign_in(user.email, user.password)).status_code == 400
    assert (await client.post(f"/v1/users/{user.id}/enable", headers=admin.headers)).status_code == 404

    await work_off()
    assert await rows("SELECT 1 FROM users.users WHERE id = $1", user.id) == []
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1", user.id) == []
    for nothing in LEFT_BEHIND:
        assert await rows(nothing, user.id) == []
    audit_log = await rows("SELECT event FROM auth.security_events WHERE user_id = $1", user.id)
    assert "account_deleted" in {line["event"] for line in audit_log}


async def test_the_address_of_an_erased_account_is_free_again(client, people, user, work_off):
    await client.request("DELETE", "/v1/users/me", json={"password": user.password}, headers=user.headers)
    await work_off()
    again = await people.register(email=user.email)
    assert again.id != user.id


async def test_erasing_begins_again_where_it_failed(client, user, composition, work_off, rows, monkeypatch):
    directory, tried = composition.users.personal_data(), []
    purge = directory.purge

    async def stumbling(owner_id):
        tried.append(owner_id)
        if len(tried) == 1:
            message = "the house is on fire"
            raise RuntimeError(message)
        await purge(owner_id)

    monkeypatch.setattr(directory, "purge", stumbling)
    await client.request("DELETE", "/v1/users/me", json={"password": user.password}, headers=user.headers)
    await work_off()
    assert await rows("SELECT status FROM auth.accounts WHERE user_id = $1", user.id) == [("deleting",)]
    await rows("UPDATE jobs.jobs SET run_at = now() WHERE state = 'retrying'")
    await work_off()
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1", user.id) == []


async def test_what_a_request_stored_while_its_account_was_erased_is_erased_an_hour_later(
    client, user, work_off, rows
):
    await client.request("DELETE", "/v1/users/me", json={"password": user.password}, headers=user.headers)
    await work_off()
    await rows("INSERT INTO files.usage (owner_id, bytes, reserved, count) VALUES ($1, 0, 0, 0)", user.id)
    scheduled = await rows(
        "UPDATE jobs.jobs SET run_at = now() WHERE kind = 'auth.purge_account' AND state = 'scheduled'"
        " AND payload->>'user_id' = $1 RETURNING id",
        str(user.id),
    )
    await work_off()
    assert len(scheduled) == 1
    assert await rows("SELECT 1 FROM files.usage WHERE owner_id = $1", user.id) == []


async def test_an_account_that_a_registration_wrote_for_an_erased_user_goes_with_the_second_purge(
    client, user, work_off, rows
):
    await client.request("DELETE", "/v1/users/me", json={"password": user.password}, headers=user.headers)
    await work_off()
    await rows(
        "INSERT INTO auth.accounts (user_id, password_hash, credentials_version, status, role, scopes,"
        " created_at, updated_at) VALUES ($1, 'x', 1, 'active', 'user', '[]', now(), now())",
        user.id,
    )
    await rows(
        "UPDATE jobs.jobs SET run_at = now() WHERE kind = 'auth.purge_account' AND state = 'scheduled'"
    )
    await work_off()
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1", user.id) == []


async def test_an_administrator_is_made_once(composition):
    accounts, email = composition.auth.accounts(), some_email()
    await accounts.create_admin(email, PASSWORD)
    with pytest.raises(AddressTaken):
        await accounts.create_admin(email.upper(), PASSWORD)


async def test_no_stranger_keeps_an_operator_from_the_address_of_an_administrator(
    client, user, composition, people, work_off
):
    files = {"file": ("a.txt", b"planted", "text/plain")}
    await client.post("/v1/files", files=files, headers=user.headers)
    password = "a password of the operator"
    admin_id = await composition.auth.accounts().create_admin(user.email, password)
    await work_off()
    admin = await people.sign_in(user.email, password)
    assert admin.id == admin_id != user.id
    assert (await client.get("/v1/users", headers=admin.headers)).status_code == 200
    assert (await client.get("/v1/files", headers=admin.headers)).json()["data"] == []
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 401


@pytest.mark.parametrize(
    ("email", "password", "error"),
    [
        ("admin", PASSWORD, AddressRefused),
        ("admin@example.com", "admin", PasswordRefused),
        ("admin@example.com", "password1", PasswordRefused),
        ("admin@example.com", "x" * 257, PasswordRefused),
    ],
)
async def test_an_administrator_has_a_real_address_and_password(composition, email, password, error):
    with pytest.raises(error):
        await composition.auth.accounts().create_admin(email, password)


async def test_there_is_no_account_from_the_start(sign_in):
    for email, password in [
        ("admin", "admin"),
        ("admin@example.com", "admin"),
        ("admin@example.com", "password"),
    ]:
        assert (await sign_in(email, password)).status_code == 400


async def test_what_is_over_is_swept_away(user, later, rows, composition, client):
    class Context:
        async def finish(self, result=None):
            pass

    await client.post("/v1/auth/logout", headers=user.headers)
    later(days=61)
    await composition.auth.housekeeping().sweep(Context())
    for nothing in LEFT_BEHIND:
        assert await rows(nothing, user.id) == []
    assert await rows("SELECT 1 FROM auth.security_events WHERE user_id = $1", user.id)
    assert await rows("SELECT 1 FROM auth.accounts WHERE user_id = $1", user.id)


async def test_a_refusal_for_a_missing_scope_is_in_the_audit_log(client, user, rows):
    answer = await client.get("/v1/users", headers=user.headers | {"User-Agent": "curious\tbrowser"})
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.missing_scope")
    audit_log = await rows(
        "SELECT address, agent, request_id, details FROM auth.security_events"
        " WHERE user_id = $1 AND event = 'scope_refused'",
        user.id,
    )
    assert len(audit_log) == 1
    assert audit_log[0]["address"] == client.headers["X-Forwarded-For"]
    assert audit_log[0]["agent"] == "curiousbrowser"
    assert audit_log[0]["request_id"] == answer.headers["X-Request-Id"]
    assert "admin" in audit_log[0]["details"]


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("<script>alert(1)</script>", "127.0.0.1"),
        ("1" * 5000, "127.0.0.1"),
        ("203.0.113.7, nonsense", "127.0.0.1"),
    ],
)
async def test_an_address_that_a_proxy_passes_on_is_one(client, people, said, seen):
    person = await people.register()
    form = {"grant_type": "password", "username": person.email, "password": person.password}
    tokens = (await client.post("/v1/auth/token", data=form, headers={"X-Forwarded-For": said})).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    sessions = (await client.get("/v1/auth/sessions", headers=headers)).json()["data"]
    assert [each["address"] for each in sessions if each["current"]] == [seen]
