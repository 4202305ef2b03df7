"""Limits of wrong passwords and of mails: who is stopped, who is not, and what waiting costs."""

import asyncio
from itertools import count

import pytest

from domains.auth.service.turns import Turns
from tests.conftest import some_address
from tests.people import PASSWORD, some_email
from tests.wire import recorded_statements

WRONG = "not the right password"
_hosts = count(1)


def _network():
    """Return the first three numbers of a network that no other test comes from."""
    return f"198.19.{next(_hosts)}"


@pytest.fixture
def limits(composition, monkeypatch):
    """Change the settings of the limits for one test."""

    def change(**values):
        limits = composition.auth.limits()
        monkeypatch.setattr(limits, "settings", limits.settings.model_copy(update=values))

    return change


async def test_a_stranger_locks_no_owner_out_of_a_network_that_the_account_knows(user, sign_in):
    for _ in range(10):
        assert (await sign_in(user.email, WRONG, address=some_address())).status_code == 400
    assert (await sign_in(user.email, user.password, address=some_address())).status_code == 429
    assert (await sign_in(user.email, user.password)).status_code == 200


async def test_in_a_network_that_the_account_knows_passwords_can_not_be_guessed_either(user, sign_in):
    for _ in range(10):
        assert (await sign_in(user.email, WRONG)).status_code == 400
    answer = await sign_in(user.email, user.password)
    assert (answer.status_code, answer.json()["code"]) == (429, "auth.too_many_attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= 900


async def test_a_reset_lets_the_owner_sign_in_again_where_they_are(client, verified, sign_in, inbox):
    for _ in range(10):
        await sign_in(verified.email, WRONG)
    assert (await sign_in(verified.email, verified.password)).status_code == 429
    await client.post("/v1/auth/password/forgot", json={"email": verified.email})
    reset = {"token": (await inbox.last(verified.email)).token, "password": "a password of my own choice"}
    assert (await client.post("/v1/auth/password/reset", json=reset)).status_code == 204
    assert (await sign_in(verified.email, reset["password"])).status_code == 200


async def test_one_person_in_an_office_locks_nobody_else_out_of_their_account(user, sign_in, limits, later):
    office = _network()
    assert (await sign_in(user.email, user.password, address=f"{office}.7")).status_code == 200
    limits(auth_network_limit=20)
    for _ in range(20):
        assert (await sign_in(some_email(), WRONG, address=f"{office}.8")).status_code == 400
    refused = await sign_in(some_email(), WRONG, address=f"{office}.9")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert (await sign_in(user.email, user.password, address=f"{office}.7")).status_code == 200
    later(minutes=6)
    assert (await sign_in(some_email(), WRONG, address=f"{office}.9")).status_code == 400


async def test_one_mailbox_gets_five_mails_an_hour_whatever_its_tag(client, later):
    name = some_email().partition("@")[0]

    async def register(number):
        body = {"email": f"{name.upper()}+{number}@example.com", "password": PASSWORD}
        headers = {"X-Forwarded-For": some_address()}
        return await client.post("/v1/auth/register", json=body, headers=headers)

    answers = [await register(number) for number in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429]
    assert answers[5].json()["code"] == "auth.too_many_attempts"
    assert 0 < int(answers[5].headers["Retry-After"]) <= 3600
    forgot = await client.post("/v1/auth/password/forgot", json={"email": f"{name}@example.com"})
    assert forgot.status_code == 429
    later(minutes=61)
    assert (await register(7)).status_code == 202


@pytest.mark.parametrize("network", ["v4", "v6"])
async def test_one_network_can_not_have_mails_sent_to_everybody(client, limits, network, later, rows):
    limits(auth_mail_network_limit=6)
    number = next(_hosts)
    prefix = f"198.19.{number}." if network == "v4" else f"2001:db8:0:{number:x}::"
    paths = ["/v1/auth/register", "/v1/auth/password/forgot", "/v1/auth/email/verify/resend"]

    async def ask(path, host):
        body = {"email": some_email()} | ({"password": PASSWORD} if path.endswith("register") else {})
        return await client.post(path, json=body, headers={"X-Forwarded-For": f"{prefix}{host}"})

    answers = [await ask(paths[host % 3], host + 1) for host in range(6)]
    assert {answer.status_code for answer in answers} == {202}
    for path in paths:
        refused = await ask(path, 99)
        assert (refused.status_code, refused.json()["code"]) == (429, "auth.too_many_attempts")
        assert 0 < int(refused.headers["Retry-After"]) <= 3600
        assert "mail_network" in refused.headers["RateLimit-Policy"]
    body = {"email": some_email(), "password": PASSWORD}
    assert (await client.post("/v1/auth/register", json=body)).status_code == 202
    later(minutes=61)
    assert (await ask(paths[0], 1)).status_code == 202


async def test_a_network_that_is_stopped_uses_up_no_mailbox_of_others(client, limits):
    limits(auth_mail_network_limit=1)
    email, network = some_email(), _network()
    for _ in range(8):
        headers = {"X-Forwarded-For": f"{network}.1"}
        await client.post("/v1/auth/password/forgot", json={"email": email}, headers=headers)
    own = await client.post("/v1/auth/password/forgot", json={"email": email})
    assert own.status_code == 202


async def test_sign_ins_that_wait_for_each_other_ask_the_database_nothing(
    user, sign_in, composition, monkeypatch
):
    hasher = composition.auth.hasher()
    verify = hasher.verify

    async def slowly(password, password_hash):
        await asyncio.sleep(0.1)
        return await verify(password, password_hash)

    await sign_in(user.email, user.password)
    monkeypatch.setattr(hasher, "verify", slowly)
    with recorded_statements(composition.database()) as sent:
        assert (await sign_in(user.email, user.password)).status_code == 200
    alone = len(sent)
    with recorded_statements(composition.database()) as sent:
        answers = await asyncio.gather(*(sign_in(user.email, user.password) for _ in range(15)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(sent) <= 15 * alone
    assert alone <= 22


async def test_more_sign_ins_than_may_wait_are_refused(user, sign_in, composition, monkeypatch):
    monkeypatch.setattr(composition.auth.limits(), "_turns", Turns(waiting=3, seconds=10))
    answers = await asyncio.gather(*(sign_in(user.email, user.password) for _ in range(10)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 4 + [429] * 6
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "auth.too_many_attempts"
    assert refused.headers["Retry-After"] == "10"
    assert (await sign_in(user.email, user.password)).status_code == 200


async def test_a_sign_in_waits_for_so_long_only(user, sign_in, composition, monkeypatch):
    turns = Turns(waiting=3, seconds=0.05)
    limits = composition.auth.limits()
    monkeypatch.setattr(limits, "_turns", turns)
    async with limits.turn(user.email):
        assert (await sign_in(user.email, user.password)).status_code == 429
    assert (await sign_in(user.email, user.password)).status_code == 200
    assert turns._lines == {}
