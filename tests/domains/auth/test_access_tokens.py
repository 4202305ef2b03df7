"""Access tokens: any token that this installation did not issue is refused."""

import base64
import hashlib
import hmac
import json
import os
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.gateway.signing_keys import SigningKey
from domains.auth.service.authenticator import TokenAuthenticator
from shared.db.pool import ConnectionPool
from shared.http.rate_limits import RateLimits
from shared.identity import NotAuthenticated

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


class HeldClock:
    def __init__(self):
        self.moment = NOW

    def now(self):
        return self.moment


def seed():
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


SEED, OTHER_SEED = seed(), seed()
PAIR = SigningKey.ed25519(SEED)


def issuer_of(*seeds, clock=None, cache_size=10, **changed):
    given = {"issuer": "https://tulou.example", "audience": "tulou", "client_id": "tulou", **changed}
    keys = [SigningKey.ed25519(seed) for seed in seeds]
    return AccessTokens(keys, clock=clock or HeldClock(), cache_size=cache_size, **given)


def claims(**changed):
    now = int(NOW.timestamp())
    ours = {
        "iss": "https://tulou.example",
        "aud": "tulou",
        "sub": str(uuid4()),
        "client_id": "tulou",
        "sid": str(uuid4()),
        "jti": str(uuid4()),
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        **changed,
    }
    return {name: value for name, value in ours.items() if value is not None}


def signed(body, *, pair=PAIR, **header):
    return jwt.encode(
        body, pair.private, algorithm="EdDSA", headers={"typ": "at+jwt", "kid": pair.kid, **header}
    )


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_a_token_says_who_and_which_session():
    tokens, user, session = issuer_of(SEED), uuid4(), uuid4()
    read = tokens.read(tokens.issue(user, session, expires_at=NOW + timedelta(minutes=15)))
    assert (read.user_id, read.session_id) == (user, session)


def test_our_own_hand_made_token_is_good_so_the_refusals_below_mean_something():
    assert isinstance(issuer_of(SEED).read(signed(claims())).user_id, UUID)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"exp": int(NOW.timestamp())},
        {"exp": int(NOW.timestamp()) - 1},
        {"nbf": int(NOW.timestamp()) + 60},
        {"sub": "admin"},
        {"sid": "1"},
        {"exp": 10**30},
        {"exp": "tomorrow"},
        {"nbf": [1]},
        *({name: None} for name in ("iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp")),
    ],
)
def test_wrong_missing_and_strange_claims_are_refused(changed):
    with pytest.raises(NotAuthenticated):
        issuer_of(SEED).read(signed(claims(**changed)))


def test_a_token_of_the_version_before_which_had_no_client_id_is_accepted():
    body = claims(client_id=None)
    assert str(issuer_of(SEED).read(signed(body)).user_id) == body["sub"]


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "refresh"},
        {"kid": "../../etc/passwd"},
        {"kid": "' OR 1=1"},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"crit": ["exp"]},
    ],
)
def test_a_header_that_is_not_ours_is_refused(header):
    with pytest.raises(NotAuthenticated):
        issuer_of(SEED).read(signed(claims(), **header))


def test_a_key_that_is_not_ours_is_refused_even_under_our_name():
    other = SigningKey.ed25519(OTHER_SEED)
    for kid in (other.kid, PAIR.kid):
        with pytest.raises(NotAuthenticated):
            issuer_of(SEED).read(signed(claims(), pair=other, kid=kid))


def test_no_algorithm_and_symmetric_ones_are_refused():
    public = base64.urlsafe_b64decode(PAIR.members["x"] + "=")
    for algorithm in ("none", "None", "HS256", "HS512"):
        head = part({"alg": algorithm, "typ": "at+jwt", "kid": PAIR.kid})
        message = f"{head}.{part(claims())}"
        mac = hmac.new(public, message.encode(), hashlib.sha256).digest()
        for signature in ("", "x", base64.urlsafe_b64encode(mac).decode().rstrip("=")):
            with pytest.raises(NotAuthenticated):
                issuer_of(SEED).read(f"{message}.{signature}")


def test_a_second_spelling_of_a_token_is_refused():
    token = signed(claims())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(token[-1]) ^ 1]
    for spelling in (f"{token}=", token[:-1] + last, f" {token}", f"{token}\n", token.replace(".", "..", 1)):
        with pytest.raises(NotAuthenticated):
            issuer_of(SEED).read(spelling)


def test_every_changed_character_of_the_signature_is_noticed():
    token = signed(claims())
    start = token.rindex(".") + 1
    for position in range(start, len(token), 7):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        with pytest.raises(NotAuthenticated):
            issuer_of(SEED).read(changed)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "A" * 5000, f"{part([])}.{part({})}.AA"])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(NotAuthenticated):
        issuer_of(SEED).read(token)


def test_a_remembered_token_expires_too():
    clock = HeldClock()
    tokens = issuer_of(SEED, clock=clock)
    token = tokens.issue(uuid4(), uuid4(), expires_at=NOW + timedelta(minutes=15))
    tokens.read(token)
    clock.moment = NOW + timedelta(minutes=15)
    with pytest.raises(NotAuthenticated):
        tokens.read(token)


def test_no_more_tokens_are_remembered_than_allowed():
    tokens = issuer_of(SEED, cache_size=3)
    for _ in range(10):
        tokens.read(tokens.issue(uuid4(), uuid4(), expires_at=NOW + timedelta(minutes=1)))
    assert len(tokens._known) == 3


def test_keys_rotate_the_first_signs_and_all_verify():
    old = issuer_of(SEED).issue(uuid4(), uuid4(), expires_at=NOW + timedelta(minutes=15))
    rotated = issuer_of(OTHER_SEED, SEED)
    rotated.read(old)
    fresh = rotated.issue(uuid4(), uuid4(), expires_at=NOW + timedelta(minutes=15))
    assert jwt.get_unverified_header(fresh)["kid"] == SigningKey.ed25519(OTHER_SEED).kid
    with pytest.raises(NotAuthenticated):
        issuer_of(OTHER_SEED).read(old)


@pytest.mark.parametrize("text", ["", "short", base64.urlsafe_b64encode(b"x" * 33).decode()])
def test_a_key_of_another_size_is_refused(text):
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey.ed25519(text)


async def test_the_published_keys_verify_a_token_from_outside(client, user):
    answer = await client.get("/.well-known/jwks.json")
    assert "public" in answer.headers["Cache-Control"]
    key = next(key for key in answer.json()["keys"] if key["alg"] == "EdDSA")
    assert key.keys() == {"kty", "crv", "x", "kid", "alg", "use"}
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    header = jwt.get_unverified_header(user.access_token)
    assert header == {"alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"]}
    body = jwt.decode(user.access_token, public, algorithms=["EdDSA"], audience="tulou")
    assert (body["sub"], body["client_id"]) == (str(user.id), "tulou")
    assert body["exp"] - body["iat"] == 900


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([], "auth.not_authenticated"),
        (["Bearer"], "auth.not_authenticated"),
        (["Bearer "], "auth.not_authenticated"),
        (["Basic dXNlcjpwYXNz"], "auth.not_authenticated"),
        (["{token}"], "auth.not_authenticated"),
        (["Bearer {token}", "Bearer {token}"], "auth.not_authenticated"),
        (["Bearer x.y.z"], "auth.invalid_access_token"),
        (["Bearer {token}, Bearer {token}"], "auth.invalid_access_token"),
        (["Bearer {token}="], "auth.invalid_access_token"),
    ],
)
async def test_anything_but_one_good_token_is_a_401_with_a_challenge(client, user, values, code):
    headers = [("Authorization", value.format(token=user.access_token)) for value in values]
    answer = await client.get("/v1/users/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="tulou"')
    assert ('error="invalid_token"' in challenge) is (code == "auth.invalid_access_token")
    assert user.access_token not in answer.text


@pytest.mark.parametrize("value", ["Bearer  {token}", "bearer   {token}", "BEARER {token}"])
async def test_the_scheme_is_followed_by_any_number_of_spaces(client, user, value):
    headers = {"Authorization": value.format(token=user.access_token)}
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 200


async def test_a_token_for_anothers_session_is_refused(client, user, other, composition):
    tokens, clock = composition.auth.access_tokens(), composition.clock()
    mixed = tokens.issue(user.id, other.session_id, expires_at=clock.now() + timedelta(minutes=5))
    answer = await client.get("/v1/users/me", headers={"Authorization": f"Bearer {mixed}"})
    assert answer.status_code == 401


async def test_rate_limit_and_endpoint_read_a_token_once(client, user, monkeypatch):
    taken, read = [], []
    take, read_token = RateLimits.take, TokenAuthenticator.read
    monkeypatch.setattr(
        RateLimits, "take", lambda self, caller, cost: taken.append(caller) or take(self, caller, cost)
    )
    monkeypatch.setattr(
        TokenAuthenticator, "read", lambda self, token: read.append(token) or read_token(self, token)
    )
    assert (await client.get("/v1/users/me", headers=user.headers)).status_code == 200
    assert taken == [user.id.int]
    assert read == [user.access_token]


async def test_authenticating_costs_one_statement(client, user, monkeypatch):
    ran = []
    original = ConnectionPool.run

    async def recorded(self, how, sql, arguments):
        ran.append(sql)
        return await original(self, how, sql, arguments)

    monkeypatch.setattr(ConnectionPool, "run", recorded)
    await client.get("/v1/users/me", headers=user.headers)
    assert len(ran) == 2
    assert "auth.sessions" in ran[0]
    assert "users.users" in ran[1]
