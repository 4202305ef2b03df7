"""Known and unknown addresses cause the same statements, transactions and hashing."""

import asyncio

import pytest

from tests.conftest import some_address
from tests.wire import recorded_statements
from tools.faults.people import PASSWORD, some_email

WRONG = "not the right password"


@pytest.fixture
async def addresses(client, user, other, admin, verified):
    """One address of each kind that a stranger might want to tell from the others."""
    await client.post(f"/v1/users/{other.id}/disable", headers=admin.headers)
    return {"unverified": user.email, "disabled": other.email, "verified": verified.email}


async def _register(client, email):
    return await client.post("/v1/auth/register", json={"email": email, "password": PASSWORD})


async def _forgot(client, email):
    return await client.post("/v1/auth/password/forgot", json={"email": email})


async def _resend(client, email):
    return await client.post("/v1/auth/email/verify/resend", json={"email": email})


async def _sign_in(client, email, *, address=None):
    form = {"grant_type": "password", "username": email, "password": WRONG}
    headers = {"X-Forwarded-For": address} if address else {}
    return await client.post("/v1/auth/token", data=form, headers=headers)


@pytest.mark.parametrize(
    ("ask", "status", "hashes"),
    [(_register, 202, 1), (_forgot, 202, 0), (_resend, 202, 0), (_sign_in, 400, 1)],
)
async def test_known_and_unknown_addresses_take_the_same_work(
    ask, status, hashes, client, composition, addresses, monkeypatch
):
    hashed = _counted_hashes(composition, monkeypatch)
    work, answers = {}, {}
    await ask(client, some_email())  # statements are prepared, connections opened
    for kind, email in {"unknown": some_email(), **addresses}.items():
        hashed.clear()
        with recorded_statements(composition.database()) as sent:
            answers[kind] = await ask(client, email)
        work[kind] = [*sent, *hashed]
    assert {answer.status_code for answer in answers.values()} == {status}
    assert all(done == work["unknown"] for done in work.values())
    assert work["unknown"].count("argon2") == hashes
    assert "COMMIT;" in work["unknown"]
    assert len([sql for sql in work["unknown"] if sql.startswith("INSERT")]) >= 2


async def test_a_sign_in_that_waits_takes_the_same_statements_for_known_and_unknown_addresses(
    client, composition, addresses
):
    limits, work = composition.auth.limits(), {}
    await _sign_in(client, some_email())
    for kind, email in {"unknown": some_email(), **addresses}.items():
        key = limits._key(limits._of_address(email))
        with recorded_statements(composition.database()) as sent:
            async with limits.keyed_lock.hold(key), asyncio.timeout(5):
                stranger = asyncio.create_task(_sign_in(client, email, address=some_address()))
                while limits.keyed_lock._entries[key].users < 2:
                    await asyncio.sleep(0.005)
            assert (await stranger).status_code == 400
        work[kind] = list(sent)
    assert all(done == work["unknown"] for done in work.values())


def _counted_hashes(composition, monkeypatch):
    hasher, done = composition.auth.hasher(), []
    argon2 = hasher._argon2
    hasher._make_dummy_hash()
    for name in ("hash", "verify"):
        original = getattr(argon2, name)

        def counted(*arguments, original=original):
            done.append("argon2")
            return original(*arguments)

        monkeypatch.setattr(argon2, name, counted)
    return done
