"""Hashing, secrets and the list of common passwords."""

import asyncio
import threading

import pytest

from domains.auth.errors import HashingBusy, InvalidRefreshToken
from domains.auth.gateway.common_passwords import _common, is_common
from domains.auth.gateway.passwords import PasswordHasher
from domains.auth.gateway.secrets import RefreshClaim, TokenKeys, new_one_time_token
from domains.auth.schemas.client_info import ClientInfo
from domains.auth.settings import AuthSettings
from shared.ids import new_id

KEY, OTHER_KEY = "A" * 43, "B" * 42 + "A"


@pytest.fixture
def hasher():
    return PasswordHasher(AuthSettings(auth_hash_memory_kib=64, auth_hash_time_cost=1))


async def test_a_hash_costs_by_default_what_is_recommended():
    made = await PasswordHasher(AuthSettings()).hash("a long sentence")
    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_a_hash_is_argon2id_and_checks(hasher):
    made = await hasher.hash("a password")
    assert made.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert (await hasher.verify("a password", made)).matches
    assert not (await hasher.verify("a passwore", made)).matches
    assert not (await hasher.verify("a password", None)).matches


async def test_a_hash_of_other_settings_is_made_anew(hasher):
    made = await PasswordHasher(AuthSettings(auth_hash_memory_kib=32, auth_hash_time_cost=1)).hash(
        "a password"
    )
    verified = await hasher.verify("a password", made)
    assert verified.matches
    assert verified.new_hash.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert (await hasher.verify("wrong", made)).new_hash is None


async def test_hashing_never_runs_on_the_event_loop_and_only_on_its_own_threads():
    hasher = PasswordHasher(AuthSettings(auth_hash_memory_kib=64, auth_hash_time_cost=1, auth_hash_threads=2))
    names = set()
    original = hasher._argon2.hash

    def noted(password):
        names.add(threading.current_thread().name)
        return original(password)

    hasher._argon2.hash = noted
    await asyncio.gather(*(hasher.hash("a password") for _ in range(20)))
    assert len(names) <= 2
    assert all(name.startswith("passwords") for name in names)


async def test_a_crowd_is_refused_and_the_place_of_who_went_away_is_given_back():
    settings = AuthSettings(auth_hash_threads=1, auth_hash_waiting=1)
    hasher, gate = PasswordHasher(settings), threading.Event()
    hasher._argon2.hash = lambda _password: gate.wait(10) and "hash"
    waiting = [asyncio.create_task(hasher.hash("x")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(HashingBusy) as refused:
        await hasher.hash("x")
    assert refused.value.headers["Retry-After"]
    waiting[1].cancel()
    gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await hasher.hash("x") == "hash"


def test_the_list_has_more_than_three_thousand_and_ignores_capitals():
    assert len(_common()) > 3000
    assert is_common("password1")
    assert is_common("PassWord1")
    assert not is_common("correct horse battery staple")


def test_one_time_tokens_are_long_and_never_the_same():
    made = {new_one_time_token() for _ in range(100)}
    assert len(made) == 100
    assert all(len(token) >= 43 for token in made)


def test_a_refresh_token_needs_the_same_key():
    claim = RefreshClaim(new_id(), 7)
    token = TokenKeys([KEY]).refresh_token(claim)
    assert TokenKeys([KEY]).read_refresh_token(token) == claim
    with pytest.raises(InvalidRefreshToken):
        TokenKeys([OTHER_KEY]).read_refresh_token(token)


@pytest.mark.parametrize(
    "change", [lambda token: token + "=", lambda token: token[:-1] + chr(ord(token[-1]) + 1)]
)
def test_a_refresh_token_has_one_spelling(change):
    token = TokenKeys([KEY]).refresh_token(RefreshClaim(new_id(), 7))
    with pytest.raises(InvalidRefreshToken):
        TokenKeys([KEY]).read_refresh_token(change(token))


@pytest.mark.parametrize("keys", [["AAAA"], [KEY, "AAAA"], []])
def test_a_short_key_is_refused(keys):
    with pytest.raises(ValueError, match="32 bytes"):
        TokenKeys(keys)


def test_the_first_key_signs_and_all_verify():
    claim = RefreshClaim(new_id(), 7)
    old, both, new = TokenKeys([KEY]), TokenKeys([OTHER_KEY, KEY]), TokenKeys([OTHER_KEY])
    assert both.refresh_token(claim) == new.refresh_token(claim)
    assert both.read_refresh_token(old.refresh_token(claim)) == claim
    assert both.read_refresh_token(new.refresh_token(claim)) == claim
    assert both.keyed_hash("a", "text") == new.keyed_hash("a", "text")
    with pytest.raises(InvalidRefreshToken):
        new.read_refresh_token(old.refresh_token(claim))


def test_hidden_texts_differ_by_purpose_and_key():
    hidden = {
        TokenKeys([key]).keyed_hash(purpose, "text") for key in (KEY, OTHER_KEY) for purpose in ("a", "b")
    }
    assert len(hidden) == 4


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("unknown", "unknown"),
    ],
)
def test_a_client_belongs_to_a_network(address, network):
    assert ClientInfo(address=address, agent="").network == network
