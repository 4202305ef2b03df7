"""Malicious requests: each gets an error with a code, and costs little to handle."""

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import psutil
import pytest
from starlette.formparsers import FormParser

from tests.security.conftest import Live
from tools.faults.people import PASSWORD, some_email

REGISTER, TOKEN, FILES = "/v1/auth/register", "/v1/auth/token", "/v1/files"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUICK = 1.0
"""Seconds of this process's own time, with much to spare: what is quadratic takes minutes."""


async def refused(client: httpx.AsyncClient, method: str, path: str, **how: object) -> tuple[int, str]:
    """Send a request; return status and code of its problem document, which is UTF-8 whatever was sent."""
    began = time.process_time()
    answer = await client.request(method, path, **how)
    assert time.process_time() - began < QUICK
    problem = json.loads(answer.content.decode("utf-8"))
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    return answer.status_code, problem["code"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"a":' * 201 + b"1" + b"}" * 201, 400),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}", 413),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(50_000)) + b"}", 400),
        (b'{"email":' + b"9" * 5000 + b"}", 400),
        (b'{"email":1' + b"0" * 4000 + b"}", 422),
        (b'{"email":"\\ud800"}', 400),
        (b'{"email":"\\u0000"}', 400),
        (b'{"email":NaN}', 400),
        (b'{"email":1e999}', 400),
        (b'{"email":"a","email":"b"}', 400),
        (b"\xef\xbb\xbf{}", 400),
        ('{"email":"a"}'.encode("utf-16"), 400),
        (b'{"email":"\xff"}', 400),
    ],
    ids=lambda value: None if isinstance(value, int) else repr(value[:24]),
)
async def test_no_body_breaks_the_reader_of_json(body: bytes, status: int, client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answered, _ = await refused(client, "POST", REGISTER, content=body, headers=headers)
    assert answered == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a;" * 100_000, 422),
        (b"a=1&" * 20_000, 422),
        (b"&" * 200_000, 400),
        (b"%" * 100_000, 422),
        (b"=" * 100_000, 422),
    ],
    ids=["semicolons", "fields", "ampersands", "percents", "equals"],
)
async def test_no_form_breaks_its_reader(body: bytes, status: int, client: httpx.AsyncClient) -> None:
    answered, _ = await refused(client, "POST", TOKEN, content=body, headers=FORM)
    assert answered in {400, 413, status}


async def test_empty_fields_of_a_form_are_counted_before_it_is_parsed(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FormParser, "parse", None)
    assert await refused(client, "POST", TOKEN, content=b"&" * 1001, headers=FORM) == (
        400,
        "request.unreadable_body",
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("&".join(f"p{number}=1" for number in range(5000)), 400),
        ("limit=1&" * 900, 422),
        ("&" * 8000 + "limit=0", 422),
        ("q=%ff", 400),
        ("q=%00", 400),
        (f"limit={10**30}", 422),
        ("limit=1e3", 422),
        ("limit=1_0", 422),
        ("limit=1.0", 422),
        ("limit=%2010", 422),
        ("limit=%2B10", 422),
        ("limit=%D9%A3", 422),
        ("cursor=WyItY3JlYXRlZF9hdCJd", 400),
        ("cursor=%F0%9F%98%80", 400),
        ("sort=storage_key", 422),
        ("sort=-sha256", 422),
        ("sort=created_at;drop", 422),
        ("owner_id=0199c3f0-7a6e-7bd4-8f2e-3d1c5a9b7e42", 422),
        ("tag[]=a", 422),
        ("__proto__=a", 422),
    ],
)
async def test_no_query_breaks_a_list(query: str, status: int, client: httpx.AsyncClient, user) -> None:
    answered, _ = await refused(client, "GET", f"{FILES}?{query}", headers=user.headers)
    assert answered == status


@pytest.mark.parametrize(
    "q", ["-" * 40, "-" * 200, '"' * 199, "or " * 60, "-a" * 99, "(" * 200, "!" * 200, "a:*&" * 40]
)
async def test_a_search_for_signs_alone_finds_nothing(q: str, client: httpx.AsyncClient, user) -> None:
    answer = await client.get(FILES, params={"q": q}, headers=user.headers)
    assert answer.status_code in {200, 422}, answer.text
    assert answer.json().get("data", []) == []


async def test_ten_thousand_ranges_are_refused_at_once(client: httpx.AsyncClient, user) -> None:
    files = {"file": ("a.txt", b"0123456789", "text/plain")}
    file = (await client.post(FILES, files=files, headers=user.headers)).json()
    ranges = "bytes=" + ",".join(f"0-{number}" for number in range(10_000))
    path, headers = f"{FILES}/{file['id']}/content", user.headers | {"Range": ranges}
    assert await refused(client, "GET", path, headers=headers) == (416, "files.range_not_satisfiable")


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "one"}])
async def test_a_boundary_of_one_character_costs_no_more(
    key: dict[str, str], client: httpx.AsyncClient, user
) -> None:
    head = b'--a\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    body = head + b"a\n" * 500_000 + b"\r\n--a--\r\n"
    headers = user.headers | key | {"Content-Type": "multipart/form-data; boundary=a"}
    began = time.process_time()
    answer = await client.post(FILES, content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["size"] == 1_000_000
    assert time.process_time() - began < QUICK


async def test_runs_of_accents_hold_up_nobody(serving: Callable[..., Live]) -> None:
    """Sorted by insertion, each of these would take the whole process seconds."""
    server = serving()
    accents = "a" + "\u0315\u0300" * 80_000
    async with httpx.AsyncClient(base_url=server.url, timeout=300) as client:
        process = psutil.Process(server.program.process.pid)
        before = process.cpu_times().user
        sent = [
            client.post(REGISTER, json={"email": some_email(), "password": accents}),
            client.post(REGISTER, json={"email": some_email(), "password": PASSWORD, "name": accents}),
            client.post(REGISTER, json={"email": f"{accents}@example.com", "password": PASSWORD}),
            client.post(
                "/v1/auth/token", data={"grant_type": "password", "username": "a", "password": accents}
            ),
            client.post(
                "/v1/auth/token", data={"grant_type": "password", "username": accents, "password": "a"}
            ),
            client.post("/reset-password", data={"token": "a", "password": accents}),
        ]
        answers = asyncio.gather(*sent)
        while not answers.done():
            assert (await client.get("/health/live")).status_code == 200
            await asyncio.sleep(0.02)
        assert {answer.status_code for answer in await answers} <= {400, 422}
        assert process.cpu_times().user - before < 30, "one of them took as long alone"


@pytest.mark.parametrize(
    ("method", "path", "how"),
    [
        ("POST", REGISTER, {"json": {"email": "a@my\u2603secret.com", "password": "long enough to take"}}),
        ("POST", REGISTER, {"json": {"email": "my\u2603secret", "password": "long enough to take"}}),
        ("PATCH", "/v1/users/me", {"json": {"locale": "de-secret-secret"}}),
        ("PATCH", "/v1/users/me", {"json": {"locale": "my\u2603secret"}}),
        ("GET", f"{FILES}/my\u2603secret", {}),
        ("GET", "/v1/jobs", {"params": {"resource_id": "\u2603secret"}}),
        ("GET", "/v1/jobs", {"params": {"status": "\u2603secret"}}),
        ("GET", FILES, {"params": {"limit": "\u2603secret", "sort": "\u2603secret"}}),
    ],
)
async def test_a_refusal_says_nothing_of_the_value_that_was_sent(
    method: str, path: str, how: dict, client: httpx.AsyncClient, user
) -> None:
    answer = await client.request(method, path, headers=user.headers, **how)
    assert answer.status_code == 422, answer.text
    for error in answer.json()["errors"]:
        said = error["detail"].lower()
        assert not [part for part in ("secret", "\u2603", "u+2603") if part in said], said
