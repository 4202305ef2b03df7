"""The OAuth2 endpoints follow their standards: RFC 6749, 6750, 7009, 8414 and 9068."""

import asyncio
import base64
import os
import re
from pathlib import Path

import jwt
import pytest
from pydantic import SecretStr

from bootstrap.settings.model import Settings
from domains.auth.gateway.signing_keys import SigningKey, key_ring
from tests.installations import running

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def random_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


@pytest.fixture
def tokens(client):
    async def ask(form: str, path: str = "/v1/auth/token", **headers: str):
        return await client.post(path, content=form, headers=FORM | headers)

    return ask


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ("grant_type=password&grant_type=refresh_token&refresh_token=x", "grant_type"),
        ("grant_type=password&username=a@example.com&username=b@example.com&password=x", "username"),
        ("grant_type=password&username=a@example.com&password=x&password=x", "password"),
        ("grant_type=refresh_token&refresh_token=x&refresh_token=", "refresh_token"),
        ("grant_type=refresh_token&refresh_token=x&unknown=1&unknown=2", "unknown"),
    ],
)
async def test_a_repeated_parameter_is_an_invalid_request(tokens, form, field):
    answer = await tokens(form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["code"] == "request.repeated_form_fields"
    assert [problem["pointer"] for problem in answer.json()["errors"]] == [f"#/{field}"]


async def test_a_small_page_refuses_repeated_fields_too(client):
    answer = await client.post("/verify-email", content="token=a&token=b", headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.repeated_form_fields")


@pytest.mark.parametrize("path", ["/v1/auth/token", "/v1/auth/revoke"])
async def test_what_other_routes_answer_with_422_is_a_400_with_an_oauth2_error(client, path):
    files = {"token": ("t", b"x"), "username": ("u", b"x")}
    answers = [
        await client.post(f"{path}?grant_type=password", content="grant_type=password&token=x", headers=FORM),
        await client.post(path, files=files),
        await client.post(path, content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"}),
        await client.post(path),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), answer.text
        assert answer.json()["error_description"] == answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/auth/token", "/v1/auth/revoke"])
async def test_another_client_or_a_secret_is_the_only_401(tokens, user, path):
    form = f"grant_type=refresh_token&refresh_token={user.refresh_token}&token={user.refresh_token}"

    def basic(text: str) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    refused = [
        await tokens(f"{form}&client_id=another", path),
        await tokens(f"{form}&client_id=tulou&client_secret=guessed", path),
        await tokens(form, path, **basic("another:")),
        await tokens(form, path, **basic("tulou:guessed")),
        await tokens(form, path, **basic("no colon")),
        await tokens(form, path, Authorization="Basic ***"),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.invalid_client"), answer.text
        assert answer.json()["error"] == "invalid_client"
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    for headers in (basic(":"), basic("tulou:"), {"Authorization": "Bearer an.old.one"}):
        again = await tokens(form, path, **headers)
        assert again.status_code == 200
        form = f"grant_type=refresh_token&refresh_token={user.refresh_token}&token={user.refresh_token}"


async def test_missing_malformed_expired_and_ended_tokens_are_told_apart(client, people, later):
    expired, ended = await people.register(), await people.register()
    later(minutes=10)
    ended = await people.sign_in(ended.email, ended.password)
    await client.post("/v1/auth/logout", headers=ended.headers)
    later(minutes=6)
    told = {}
    for name, headers in {
        "missing": {},
        "malformed": {"Authorization": "Bearer nonsense"},
        "expired": expired.headers,
        "ended": ended.headers,
    }.items():
        answer = await client.get("/v1/users/me", headers=headers)
        assert answer.status_code == 401
        challenge = answer.headers["WWW-Authenticate"]
        told[name] = (answer.json()["code"], dict(re.findall(r'(\w+)="([^"\\]*)"', challenge)))
        if name != "missing":
            assert told[name][1]["error"] == "invalid_token"
            assert told[name][1]["error_description"] == answer.json()["detail"]
    assert told["missing"] == ("auth.not_authenticated", {"realm": "tulou"})
    assert [code for code, _ in told.values()] == [
        "auth.not_authenticated",
        "auth.invalid_access_token",
        "auth.expired_access_token",
        "auth.session_ended",
    ]


async def test_a_missing_scope_is_named_by_the_challenge(client, user):
    answer = await client.get("/v1/users", headers=user.headers)
    assert answer.status_code == 403
    assert (
        answer.headers["WWW-Authenticate"]
        == 'Bearer realm="tulou", error="insufficient_scope", scope="admin"'
    )


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
async def test_revoking_a_token_ends_its_session(client, user, tokens, refresh, rows, kind):
    answer = await tokens(f"token={getattr(user, kind)}&token_type_hint={kind}", "/v1/auth/revoke")
    assert (answer.status_code, answer.content) == (200, b"")
    shown = await client.get("/v1/users/me", headers=user.headers)
    assert (shown.status_code, shown.json()["code"]) == (401, "auth.session_ended")
    assert (await refresh(user.refresh_token)).json()["error"] == "invalid_grant"
    again = await tokens(f"token={getattr(user, kind)}", "/v1/auth/revoke")
    assert again.status_code == 200
    events = await rows(
        "SELECT event FROM auth.security_events WHERE session_id = $1 AND event = 'session_revoked'",
        user.session_id,
    )
    assert len(events) == 1


async def test_revoking_reaches_no_other_session(client, people, user, tokens):
    elsewhere = await people.sign_in(user.email, user.password)
    await tokens(f"token={user.refresh_token}", "/v1/auth/revoke")
    assert (await client.get("/v1/users/me", headers=elsewhere.headers)).status_code == 200


async def test_an_expired_access_token_revokes_nothing(user, tokens, refresh, later):
    later(minutes=16)
    assert (await tokens(f"token={user.access_token}", "/v1/auth/revoke")).status_code == 200
    assert (await refresh(user.refresh_token)).status_code == 200


@pytest.mark.parametrize("token", ["made-up", "a.b.c", "%00", "x" * 5000, "%ff"])
async def test_an_unknown_token_is_revoked_already(tokens, token):
    assert (await tokens(f"token={token}", "/v1/auth/revoke")).status_code == 200


async def test_a_revocation_without_a_token_is_an_invalid_request(tokens):
    answer = await tokens("token_type_hint=refresh_token", "/v1/auth/revoke")
    assert (answer.status_code, answer.json()["code"]) == (400, "auth.invalid_revocation")
    assert answer.json()["error"] == "invalid_request"


async def test_the_metadata_names_what_is_there(client, user, app):
    answer = await client.get("/.well-known/oauth-authorization-server")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    found = answer.json()
    claims = jwt.decode(user.access_token, options={"verify_signature": False})
    assert found["issuer"] == claims["iss"]
    for name in ("token_endpoint", "revocation_endpoint", "jwks_uri"):
        assert found[name].startswith(f"{found['issuer']}/")
        path = found[name].removeprefix(found["issuer"])
        asked = await (client.get(path) if name == "jwks_uri" else client.post(path))
        assert asked.status_code == (200 if name == "jwks_uri" else 400)
    assert found["response_types_supported"] == []
    for grant in found["grant_types_supported"]:
        refused = await client.post("/v1/auth/token", data={"grant_type": grant})
        assert refused.json()["error"] == "invalid_request"
    assert found["token_endpoint_auth_methods_supported"] == ["none"]


def with_keys(settings: Settings, *p256: str, **changed: object) -> Settings:
    keys = tuple(SecretStr(key) for key in p256)
    return settings.model_copy(update={"signing_keys_es256": keys, **changed})


async def test_es256_signs_where_it_is_set_and_both_kinds_are_published(settings):
    old, new = random_key(), random_key()
    before, after = (
        with_keys(settings, old),
        with_keys(settings, new, old, auth_signing_algorithm="ES256"),
    )
    async with running(before) as first, running(after) as second:
        person, other = await first.people.register(), await second.people.register()
        header = jwt.get_unverified_header(other.access_token)
        assert header["alg"] == "ES256"
        assert jwt.get_unverified_header(person.access_token)["alg"] == "EdDSA"
        assert (await second.client.get("/v1/users/me", headers=person.headers)).status_code == 200
        keys = (await second.client.get("/.well-known/jwks.json")).json()["keys"]
        assert [key["alg"] for key in keys] == ["ES256", "ES256", "EdDSA"]
        assert header["kid"] == keys[0]["kid"]
        body = jwt.decode(
            other.access_token,
            jwt.PyJWK(keys[0]),
            algorithms=["ES256"],
            audience="tulou",
            issuer=settings.public_url,
        )
        assert body["sub"] == str(other.id)


def test_the_thumbprint_of_a_p256_key_is_the_one_of_its_required_members():
    key = SigningKey.p256(random_key())
    assert list(key.members) == ["crv", "kty", "x", "y"]
    assert len(base64.urlsafe_b64decode(key.kid + "=")) == 32


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_the_first_key_of_the_algorithm_signs(algorithm):
    ring = key_ring([random_key(), random_key()], [random_key()], algorithm=algorithm)
    assert (ring[0].algorithm, len(ring)) == (algorithm, 3)


async def test_the_lines_that_verify_a_token_elsewhere_work(client, user, settings, monkeypatch):
    (lines,) = re.findall(r"```python\n(import jwt\n.*?)```", PAGE.read_text(), re.DOTALL)
    keys = (await client.get("/.well-known/jwks.json")).json()
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", lambda _self: keys)
    there: dict = {}
    exec(lines.replace("https://api.example.com", settings.public_url), there)  # noqa: S102  # lines of our own page
    claims = await asyncio.to_thread(there["claims_of"], user.access_token)
    assert (claims["sub"], claims["client_id"]) == (str(user.id), "tulou")
    for wrong in (user.refresh_token, user.access_token[:-4] + "AAAA", ""):
        with pytest.raises(jwt.PyJWTError):
            await asyncio.to_thread(there["claims_of"], wrong)
