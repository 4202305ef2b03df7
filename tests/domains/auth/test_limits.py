"""Limits on wrong passwords and on mails: which callers are refused, and how long they wait."""

import asyncio
from itertools import count, islice

import pytest

from domains.auth.service.keyed_lock import KeyedLock
from tests.conftest import some_address
from tests.wire import recorded_statements
from tools.faults.people import PASSWORD, some_email

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


async def test_sign_ins_run_no_statement_while_they_wait_for_each_other(
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
    before_and_after = 2 + 2  # two counters before the wait, user and account again after it
    assert len(sent) <= 15 * (alone + before_and_after)
    assert alone <= 22


@pytest.fixture
def sign_in_queues(composition, monkeypatch):
    """Give sign-ins queues of another length and patience, and return them."""

    def change(*, waiting, seconds=10):
        queues = KeyedLock(waiting=waiting, seconds=seconds)
        monkeypatch.setattr(composition.auth.limits(), "keyed_lock", queues)
        return queues

    return change


@pytest.fixture
def held(composition, monkeypatch):
    """Hold each check of this password until the event is set."""

    def hold(password):
        hasher, go_on = composition.auth.hasher(), asyncio.Event()
        verify = hasher.verify

        async def when_set(given, password_hash):
            if given == password:
                await go_on.wait()
            return await verify(given, password_hash)

        monkeypatch.setattr(hasher, "verify", when_set)
        return go_on

    return hold


async def _are_waiting(queues, number):
    """Wait until so many sign-ins are checked or wait to be."""
    async with asyncio.timeout(5):
        while sum(entry.users for entry in queues._entries.values()) < number:
            await asyncio.sleep(0.005)


async def test_more_sign_ins_than_may_wait_are_refused(user, sign_in, sign_in_queues, held):
    sign_in_queues(waiting=3)
    go_on = held(user.password)
    tasks = [asyncio.create_task(sign_in(user.email, user.password)) for _ in range(10)]
    refused = [await next_done for next_done in islice(asyncio.as_completed(tasks), 6)]
    go_on.set()
    statuses = sorted([answer.status_code for answer in await asyncio.gather(*tasks)])
    assert statuses == [200] * 4 + [429] * 6
    assert {answer.status_code for answer in refused} == {429}
    assert refused[0].json()["code"] == "auth.too_many_attempts"
    assert refused[0].headers["Retry-After"] == "10"
    assert (await sign_in(user.email, user.password)).status_code == 200


async def test_a_sign_in_waits_for_so_long_only(user, sign_in, sign_in_queues, held):
    queues = sign_in_queues(waiting=3, seconds=0.05)
    go_on = held(WRONG)
    first = asyncio.create_task(sign_in(user.email, WRONG))
    await _are_waiting(queues, 1)
    assert (await sign_in(user.email, user.password)).status_code == 429
    go_on.set()
    assert (await first).status_code == 400
    assert (await sign_in(user.email, user.password)).status_code == 200
    assert queues._entries == {}


async def test_strangers_who_fill_their_queue_keep_no_owner_waiting_where_the_account_is_known(
    user, sign_in, sign_in_queues, held
):
    queues = sign_in_queues(waiting=1)
    go_on = held(WRONG)
    strangers = [asyncio.create_task(sign_in(user.email, WRONG, address=some_address())) for _ in range(2)]
    await _are_waiting(queues, 2)
    assert (await sign_in(user.email, WRONG, address=some_address())).status_code == 429
    assert (await sign_in(user.email, user.password)).status_code == 200
    go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*strangers)} == {400}


async def test_a_sign_in_whose_attempts_are_spent_does_not_join_the_queue(
    user, sign_in, composition, sign_in_queues
):
    queues, limits = sign_in_queues(waiting=3, seconds=0.5), composition.auth.limits()
    for _ in range(11):
        last = await sign_in(user.email, WRONG, address=some_address())
    assert last.status_code == 429
    async with queues.hold(limits._key(limits._of_address(user.email))):
        refused = await sign_in(user.email, user.password, address=some_address())
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 60
    assert "login_address" in refused.headers["RateLimit-Policy"]


async def test_a_sign_in_that_has_waited_is_checked_against_the_password_of_then(
    client, user, sign_in, composition, sign_in_queues
):
    queues, limits = sign_in_queues(waiting=3), composition.auth.limits()
    new = "a password of my own choice"
    async with queues.hold(limits._key(limits._of_address(user.email))):
        waits = asyncio.create_task(sign_in(user.email, new, address=some_address()))
        await _are_waiting(queues, 2)
        change = {"current_password": user.password, "new_password": new}
        changed = await client.post("/v1/auth/password/change", json=change, headers=user.headers)
        assert changed.status_code == 204
    assert (await waits).status_code == 200
