"""Changes that happen while a password is hashed or a mail waits; no connection is held meanwhile."""

from contextlib import suppress

import pytest

from domains.auth.errors import AccountNotFound
from shared.db.transaction import my_transaction
from shared.identity import Principal
from tools.faults.people import PASSWORD, some_email

NEW = "a new and long password"
CHANGED = "UPDATE auth.accounts SET credentials_version = 9 WHERE user_id = $1"
UNREGISTERED = "DELETE FROM auth.registrations WHERE user_id = (SELECT id FROM users.users WHERE email = $1)"


@pytest.fixture
def hashing(composition, monkeypatch):
    """Call `act` before each hash or verification; return the list of calls."""
    hasher = composition.auth.hasher()
    calls, acts = [], []

    def wrap(name):
        original = getattr(hasher, name)

        async def wrapped(*arguments):
            calls.append((name, my_transaction() is not None))
            for act in acts:
                await act()
            return await original(*arguments)

        monkeypatch.setattr(hasher, name, wrapped)

    def watch(act=None):
        acts.extend([act] if act else [])
        return calls

    for name in ("hash", "verify"):
        wrap(name)
    return watch


def _reset(client, token, password=NEW):
    return client.post("/v1/auth/password/reset", json={"token": token, "password": password})


async def _reset_token(client, inbox, person):
    await client.post("/v1/auth/password/forgot", json={"email": person.email})
    return (await inbox.last(person.email, "Choose a new password")).token


async def test_no_transaction_is_open_while_a_password_is_hashed(client, people, inbox, hashing):
    calls = hashing()
    person = await people.register()
    await _reset(client, await _reset_token(client, inbox, person))
    person = await people.sign_in(person.email, NEW)
    body = {"current_password": NEW, "new_password": PASSWORD}
    await client.post("/v1/auth/password/change", json=body, headers=person.headers)
    await client.request("DELETE", "/v1/users/me", json={"password": PASSWORD}, headers=person.headers)
    assert [name for name, _ in calls] == ["hash", "verify", "hash", "verify", "verify", "hash", "verify"]
    assert not any(is_open for _, is_open in calls)


async def test_what_is_refused_anyway_is_not_hashed(client, hashing):
    calls = hashing()
    body = {"email": some_email(), "password": "password1"}
    assert (await client.post("/v1/auth/register", json=body)).json()["code"] == "auth.password_refused"
    assert (await _reset(client, "made up")).json()["code"] == "auth.invalid_token"
    assert calls == []


async def test_a_password_that_was_changed_during_a_sign_in_makes_it_fail(user, sign_in, rows, hashing):
    hashing(lambda: rows(CHANGED, user.id))
    assert (await sign_in(user.email, user.password)).json()["code"] == "auth.invalid_credentials"


async def test_a_password_that_was_just_changed_is_not_changed_again(client, user, rows, hashing):
    hashing(
        lambda: rows(
            "UPDATE auth.accounts SET credentials_version = credentials_version + 1 WHERE user_id = $1",
            user.id,
        )
    )
    body = {"current_password": user.password, "new_password": NEW}
    answer = await client.post("/v1/auth/password/change", json=body, headers=user.headers)
    assert answer.json()["code"] == "auth.wrong_password"


async def test_a_sign_in_that_fails_with_an_error_is_not_counted(user, sign_in, composition, monkeypatch):
    async def broken(_password, _hash):
        raise TimeoutError

    monkeypatch.setattr(composition.auth.hasher(), "verify", broken)
    for _ in range(11):
        with suppress(TimeoutError):
            await sign_in(user.email, user.password)
    monkeypatch.undo()
    assert (await sign_in(user.email, user.password)).status_code == 200


async def test_a_reset_is_refused_for_an_account_that_was_disabled_meanwhile(client, inbox, user, admin):
    token = await _reset_token(client, inbox, user)
    await client.post(f"/v1/users/{user.id}/disable", headers=admin.headers)
    assert (await _reset(client, token)).json()["code"] == "auth.invalid_token"


async def test_a_token_whose_registration_was_deleted_is_void(client, inbox, rows):
    email = some_email()
    await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    token = (await inbox.last(email)).token
    await rows(UNREGISTERED, email)
    answer = await client.post("/v1/auth/email/verify", json={"token": token})
    assert answer.json()["code"] == "auth.invalid_token"


async def test_a_registration_that_was_deleted_gets_no_mail(client, inbox, rows):
    email = some_email()
    await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})
    await rows(UNREGISTERED, email)
    assert await inbox.of(email) == []


async def test_an_account_is_deleted_once(composition, user, rows, hashing):
    hashing(lambda: rows("UPDATE auth.accounts SET status = 'deleting' WHERE user_id = $1", user.id))
    principal = Principal(user.id, user.session_id, frozenset())
    with pytest.raises(AccountNotFound):
        await composition.auth.accounts().delete(principal, user.password, None)
