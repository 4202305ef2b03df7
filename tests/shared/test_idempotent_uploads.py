"""`Idempotency-Key` with streamed bodies, whose digest is known only after they were read."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from starlette.requests import Request

from shared.http.idempotency import DigestedBody

FILES = "/v1/files"


def keyed(person, key: str, **headers: str) -> dict[str, str]:
    return {**person.headers, "Idempotency-Key": key, **headers}


async def files_of(client: httpx.AsyncClient, person) -> int:
    page = await client.get(FILES, params={"include_total": "true"}, headers=person.headers)
    return page.json()["total"]


@pytest.fixture
async def rows(servers) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(servers.superuser_url)
    yield connection
    await connection.close()


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 7):
        yield content[start : start + 7]


async def test_an_upload_that_is_sent_again_gives_the_first_file(client, user) -> None:
    key = secrets.token_hex(8)
    first, again = [
        await client.post(FILES, content=b"some words", headers=keyed(user, key)) for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content == first.content
    assert again.headers["Location"] == first.headers["Location"]
    assert await files_of(client, user) == 1


async def test_a_form_that_is_sent_again_has_another_boundary_and_is_the_same(client, user) -> None:
    key = secrets.token_hex(8)
    answers = []
    for boundary in ("one-boundary-of-a-form", "two", "one-boundary-of-a-form-that-is-long"):
        form = {"file": ("notes.txt", b"some words", "text/plain")}
        headers = keyed(user, key, **{"Content-Type": f"multipart/form-data; boundary={boundary}"})
        answers.append(await client.post(FILES, files=form, headers=headers))
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await files_of(client, user) == 1


@pytest.mark.parametrize("body", [b"same length", b"another length"])
async def test_other_bytes_with_the_same_key_are_refused(client, user, body: bytes) -> None:
    key = secrets.token_hex(8)
    await client.post(FILES, content=b"some-length", headers=keyed(user, key))
    other = await client.post(FILES, content=body, headers=keyed(user, key))
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency.key_reused"
    assert await files_of(client, user) == 1


async def test_other_bytes_of_a_form_are_refused(client, user) -> None:
    key = secrets.token_hex(8)
    for content, status in ((b"some words", 201), (b"else words", 422)):
        answer = await client.post(FILES, files={"file": ("a.txt", content)}, headers=keyed(user, key))
        assert answer.status_code == status


async def test_bytes_without_a_length_are_compared_too(client, user) -> None:
    key = secrets.token_hex(8)
    statuses = [
        (await client.post(FILES, content=in_pieces(content), headers=keyed(user, key))).status_code
        for content in (b"some words", b"some words", b"some words and more", b"else words")
    ]
    assert statuses == [201, 201, 422, 422]
    assert await files_of(client, user) == 1


class SlowUpload:
    """A body that stops in its middle until it may go on."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self.first, self.rest = first, rest
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.first
        self.reached.set()
        await self.may_go_on.wait()
        yield self.rest


async def test_while_bytes_arrive_the_key_is_taken_and_no_connection_is_held(client, user, rows) -> None:
    key, slow = secrets.token_hex(8), SlowUpload(b"some", b" words")
    first = asyncio.create_task(client.post(FILES, content=slow, headers=keyed(user, key)))
    await slow.reached.wait()
    twin = await client.post(FILES, content=in_pieces(b"some words"), headers=keyed(user, key))
    assert twin.status_code == 409
    assert twin.json()["code"] == "idempotency.in_progress"
    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND usename = 'tulou_app'"
    )
    assert await rows.fetchval(idle) == 0
    uploading = "SELECT count(*) FROM files.files WHERE owner_id = $1 AND status = 'uploading'"
    assert await rows.fetchval(uploading, user.id) == 1
    slow.may_go_on.set()
    assert (await first).status_code == 201
    assert await files_of(client, user) == 1


async def test_an_upload_that_was_overtaken_leaves_nothing(client, user, rows, work_off, composition) -> None:
    key, slow = secrets.token_hex(8), SlowUpload(b"some", b" words, twice")
    first = asyncio.create_task(client.post(FILES, content=slow, headers=keyed(user, key)))
    await slow.reached.wait()
    await rows.execute(
        "UPDATE idempotency.keys SET lease_expires_at = now() - interval '1 s' WHERE owner_id = $1", user.id
    )
    second = await client.post(FILES, content=in_pieces(b"some words, twice"), headers=keyed(user, key))
    assert second.status_code == 201
    slow.may_go_on.set()
    late = await first
    assert (late.status_code, late.json()["code"]) == (409, "idempotency.in_progress")
    usage = (await client.get(f"{FILES}/usage", headers=user.headers)).json()
    assert (usage["count"], usage["reserved_bytes"]) == (1, 0), usage
    assert await rows.fetchval("SELECT count(*) FROM files.files WHERE owner_id = $1", user.id) == 1
    await work_off()
    objects = (composition.settings().data_dir / "files").rglob("*")
    assert [path.read_bytes() for path in objects if path.is_file()].count(b"some words, twice") == 1


async def test_a_refused_upload_leaves_nothing_and_frees_the_key(client, user, rows) -> None:
    key, wrong = secrets.token_hex(8), {"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}
    refused = await client.post(FILES, content=b"some words", headers=keyed(user, key, **wrong))
    assert refused.status_code == 400
    assert await rows.fetchval("SELECT count(*) FROM files.files WHERE owner_id = $1", user.id) == 0
    assert await rows.fetchval("SELECT count(*) FROM idempotency.keys WHERE owner_id = $1", user.id) == 0
    right = await client.post(FILES, content=b"some words", headers=keyed(user, key))
    assert right.status_code == 201


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
async def test_a_digest_does_not_depend_on_how_the_bytes_arrive(size: int) -> None:
    async def digest(body: bytes, boundary: str, size: int) -> bytes:
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request", "body": b"", "more_body": False})
        waiting = iter(messages)

        async def receive() -> dict[str, object]:
            return next(waiting)

        headers = [(b"content-type", f'multipart/form-data; boundary="{boundary}"'.encode())]
        passing = DigestedBody(Request({"type": "http", "headers": headers}, receive))
        return await passing.read_to_end(at_most=10_000)

    one = b"--aaa\r\nname\r\n\r\naabaa\r\n--aaa--\r\n"
    two = one.replace(b"--aaa", b"--xyzxyz")
    assert await digest(one, "aaa", size) == await digest(two, "xyzxyz", 4)
    assert await digest(one, "aaa", size) != await digest(two.replace(b"aabaa", b"aacaa"), "xyzxyz", 4)


class CountedDigest:
    """Counts how often it is given something."""

    def __init__(self) -> None:
        self.updates = 0

    def update(self, _piece: bytes) -> None:
        self.updates += 1


@pytest.mark.parametrize("boundary", ["b", "bb", "b" * 70])
async def test_a_body_full_of_its_boundary_is_digested_in_few_steps(boundary: str) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"b" * 70_000, "more_body": False}

    headers = [(b"content-type", f"multipart/form-data; boundary={boundary}".encode())]
    passing = DigestedBody(Request({"type": "http", "headers": headers}, receive))
    passing._digest = counted = CountedDigest()
    await passing._receive()
    assert counted.updates <= 2
