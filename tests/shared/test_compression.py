"""Large JSON responses are compressed, and each coding has its own ETag."""

import gzip
import json
import zlib

import httpx
import pytest

from shared.http.compression import ON_THE_LOOP, accepts_gzip, gzipped

GZIP = {"Accept-Encoding": "gzip"}
IDENTITY = {"Accept-Encoding": "identity"}
LARGE = {"text": "words " * 300}


@pytest.fixture
async def file(client, user) -> str:
    """A file whose JSON is over 1 KiB."""
    made = await client.post("/v1/files", content=b"some words", headers=user.headers)
    path = made.headers["Location"]
    changed = await client.patch(path, json={"metadata": LARGE}, headers=user.headers)
    assert changed.status_code == 200, changed.text
    return str(path)


async def raw(client, method: str, path: str, **headers: str) -> tuple[httpx.Response, bytes]:
    """Ask, and return the body as it came over the wire."""
    async with client.stream(method, path, headers=headers) as answer:
        return answer, b"".join([piece async for piece in answer.aiter_raw()])


async def test_a_large_answer_is_compressed_for_who_accepts_it(client, user, file) -> None:
    plain, body = await raw(client, "GET", file, **user.headers, **IDENTITY)
    packed, bytes_sent = await raw(client, "GET", file, **user.headers, **GZIP)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(bytes_sent) == body
    assert int(packed.headers["Content-Length"]) == len(bytes_sent) < len(body) / 3
    assert packed.headers["ETag"] == plain.headers["ETag"][:-1] + '-gzip"'
    for answer in (plain, packed):
        assert answer.headers["Vary"] == "Accept-Encoding"


async def test_head_tells_what_get_would(client, user, file) -> None:
    for coding in (GZIP, IDENTITY):
        got, _ = await raw(client, "GET", file, **user.headers, **coding)
        head, body = await raw(client, "HEAD", file, **user.headers, **coding)
        assert body == b""
        for name in ("Content-Encoding", "Content-Length", "Content-Type", "ETag", "Vary"):
            assert head.headers.get(name) == got.headers.get(name), name


async def test_small_answers_secrets_problems_and_files_come_as_they_are(client, user, file) -> None:
    me, _ = await raw(client, "GET", "/v1/users/me", **user.headers, **GZIP)
    missing, _ = await raw(client, "GET", f"/v1/users/me?{'x' * 1100}=1", **user.headers, **GZIP)
    content, body = await raw(client, "GET", f"{file}/content", **user.headers, **GZIP)
    changed = await client.patch(file, json={"metadata": LARGE}, headers={**user.headers, **GZIP})
    form = {"grant_type": "password", "username": user.email, "password": user.password}
    tokens = await client.post("/v1/auth/token", data=form, headers=GZIP)
    assert (missing.status_code, body) == (422, b"some words")
    assert len(changed.content) > 1024
    for answer in (me, missing, content, changed, tokens):
        assert "Content-Encoding" not in answer.headers
        assert "Vary" not in answer.headers


async def test_a_tag_of_either_coding_names_the_state_that_was_read(client, user, file) -> None:
    packed = (await client.get(file, headers={**user.headers, **GZIP})).headers["ETag"]
    plain = (await client.get(file, headers={**user.headers, **IDENTITY})).headers["ETag"]
    for known in (packed, plain, f"W/{packed}"):
        for coding in (GZIP, IDENTITY):
            headers = {**user.headers, **coding, "If-None-Match": known}
            answer = await client.get(file, headers=headers)
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == known.removeprefix("W/")
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert "Content-Encoding" not in answer.headers
    matched = await client.get(file, headers={**user.headers, **IDENTITY, "If-Match": packed})
    assert matched.status_code == 200
    changed = await client.patch(file, json={"name": "b"}, headers={**user.headers, "If-Match": packed})
    assert changed.status_code == 200
    stale = await client.patch(file, json={"name": "c"}, headers={**user.headers, "If-Match": plain})
    assert (stale.status_code, stale.json()["code"]) == (412, "request.precondition_failed")


async def test_a_tag_that_a_proxy_made_weak_is_refused_with_the_reason(client, user, file) -> None:
    tag = (await client.get(file, headers=user.headers)).headers["ETag"]
    headers = {**user.headers, "If-Match": f"W/{tag}"}
    answers = [
        await client.patch(file, json={"name": "b"}, headers=headers),
        await client.get(file, headers=headers),
        await client.delete("/v1/auth/sessions/00000000-0000-4000-8000-000000000000", headers=headers),
        await client.get(f"{file}/content", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [412, 412, 404, 412]
    for answer in (answers[0], answers[1], answers[3]):
        assert answer.json()["code"] == "request.weak_condition"
        assert "compresses" in answer.json()["detail"]
    mixed = {**user.headers, "If-Match": f"W/{tag}, {tag}"}
    assert (await client.patch(file, json={"name": "b"}, headers=mixed)).status_code == 200


async def test_the_catalogue_is_compressed_too(client) -> None:
    answer, body = await raw(client, "GET", "/errors", **GZIP)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(body))) > 50


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("deflate", False),
        ("gzip;q=2", False),
        ("gzip; q=0.5 ,", True),
        ("gzip;q=x", False),
        ("gzip, ä", False),
        ("gzip," * 500, False),
    ],
)
def test_what_a_client_accepts_is_read_as_the_standard_has_it(accepted: str, expected: bool) -> None:
    assert accepts_gzip(accepted) is expected


async def test_a_body_too_large_for_the_loop_is_compressed_elsewhere(client, user, monkeypatch) -> None:
    monkeypatch.setattr("shared.http.compression.ON_THE_LOOP", 1200)
    answer, body = await raw(client, "GET", "/errors", **GZIP)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))
    assert ON_THE_LOOP == 131_072


def test_equal_bodies_give_equal_bytes() -> None:
    assert gzipped(b"x" * 5000) == gzipped(b"x" * 5000)
    assert zlib.decompress(gzipped(b"words"), 31) == b"words"
