"""Odd values in every header, query parameter and body field that an operation reads never cause a 500."""

import base64
import json
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers

from shared.http.rate_limits import RateLimits
from tests.security.operations import Operation, operations_of
from tests.security.resources import OwnedResources

SERVER_ERROR = 500
FAR = "Mon, 20 Nov 9999999999 12:00:00 GMT"
HEADERS: dict[str, tuple[str | bytes, ...]] = {
    "accept": ("*/*;q=" + "9" * 400, "text/html;q=nan", ","),
    "accept-encoding": ("gzip;q=1e999", "*;q=-1", ";;;"),
    "authorization": (
        "Bearer " + "." * 3000,
        b"Bearer \xb2\xff",
        "Bearer e30.e30.e30",
        "Basic Og==",
        "Bearer",
    ),
    "content-disposition": (
        "attachment; filename*=UTF-8''%FF%FE",
        "attachment; filename*=iso-8859-1''%80",
        "attachment; filename*=utf-16''%00",
        'attachment; filename="' + "\\" * 99,
        "; ; ;",
        b"attachment; filename=\xff\xfe",
        "attachment; filename=" + "%00" * 99,
    ),
    "content-encoding": ("identity, identity", b"\xff"),
    "content-length": ("9" * 5000, "-1", "+5", "0x10", b"\xb2", "1_0", "1, 1"),
    "content-range": ("bytes 0-" + "9" * 5000 + "/*", "bytes */*", "items 1-2/3"),
    "content-type": (
        "application/json; charset=utf-7",
        "multipart/form-data; boundary=" + "-" * 70,
        "multipart/form-data; boundary=a",
        'multipart/form-data; boundary="',
        b"multipart/form-data; boundary=\xff",
        "application/x-www-form-urlencoded; charset=idna",
        ";",
        b"\xff/\xfe",
    ),
    "cookie": ("a=" + "\\" * 99, "$Version=9999999999; =", b"\xff=\xfe"),
    "expect": ("100-continue", "200-maybe"),
    "forwarded": ("for=" + "[" * 99, b"for=\xff"),
    "host": ("[::ffff:999.9.9.9]", "xn--" + "9" * 60, "a" * 300, b"\xff", "127.0.0.1:99999999"),
    "idempotency-key": ("\x7f", b"\xff", "k" * 5000, ""),
    "if-match": (
        '"' + "9" * 5000 + '-0123456789abcdef"',
        "W/",
        '"',
        b'"\xff"',
        '"999999999999999999-0123456789abcdef"',
    ),
    "if-modified-since": (
        FAR,
        "Mon, 31 Feb 2026 12:00:00 GMT",
        b"\xb2\xff",
        "Sat, 31 Dec 2016 23:59:60 GMT",
        "9" * 5000,
    ),
    "if-none-match": ('"' + "9" * 5000 + '-0123456789abcdef"', "W/*", ",,,", b'W/"\xff"'),
    "if-range": (FAR, "Mon, 20 Nov 0000 12:00:00 GMT", 'W/"', b"\xff", ""),
    "if-unmodified-since": (
        FAR,
        "Fri, 31 Dec 9999 23:59:60 GMT",
        b"\xff",
        "Mon, 20 Nov 99999 12:00:00 -9999",
    ),
    "last-event-id": ("9" * 5000, "-1", b"\xb2", "1e3", "9" * 18),
    "origin": ("null", "http://[", b"\xff", "capacitor://" + "a" * 5000),
    "prefer": ("wait=" + "9" * 5000, "=", b"\xff"),
    "range": (
        "bytes=0-" + "9" * 5000,
        "bytes=-" + "9" * 18,
        b"bytes=\xb2-\xb3",
        "bytes=" + "0-0," * 2000,
        "bytes=--1",
        "=",
    ),
    "repr-digest": (
        "sha-256=:",
        "sha-256=::",
        "sha-256=" + "=" * 99,
        b"sha-256=:\xff:",
        "sha-256",
        "sha-256=:" + "A" * 43 + "=:",
    ),
    "retry-after": ("9" * 5000, FAR),
    "traceparent": (
        "00-" + "f" * 32 + "-" + "f" * 16 + "-ff",
        "ff-" + "0" * 32 + "-" + "0" * 16 + "-00",
        b"\xff",
    ),
    "tracestate": ("=" * 600, b"\xff"),
    "transfer-encoding": ("chunked, chunked", b"\xff", "gzip"),
    "tus-resumable": ("9" * 5000, "1.0.0", b"\xff"),
    "upload-checksum": ("sha1 !", "sha1", b"\xff", "none " + "A" * 99),
    "upload-concat": ("final;" + "/a " * 99, "partial", b"\xff"),
    "upload-defer-length": ("9" * 5000, "1", b"\xb2"),
    "upload-length": ("9" * 5000, "-1", "1e3", b"\xb2", str(2**63), str(2**64)),
    "upload-metadata": ("filename !", "filename " + "A" * 5000, ",,,", b"\xff \xfe", "a,a", "filename /w=="),
    "upload-offset": ("9" * 5000, "-1", "1e3", b"\xb2", str(2**63)),
    "user-agent": (b"\xff\xfe\x00", "\ud800".encode("utf-8", "surrogatepass"), "a" * 5000),
    "x-forwarded-for": ("999.9.9.9", "[::1", b"\xff", "1.2.3.4:99999999", "," * 99),
    "x-forwarded-proto": (b"\xff", "gopher"),
    "x-request-id": (b"\xff", "a" * 5000),
}
TEXTS = (
    "",
    "\x00",
    "-" * 40,
    '"' * 41,
    "9" * 5000,
    "-1",
    "1e999",
    "NaN",
    "9999999999-11-20T12:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-02-31",
    "2016-12-31T23:59:60Z",
    "\u0661\u0662",
    "\u0130\u0307\ufdfa" * 60,
    str(2**63),
    "a" * 3000,
)
MEMBERS: tuple[Any, ...] = (
    *TEXTS,
    2**63,
    -(2**70),
    1e39,
    -0.0,
    True,
    None,
    [],
    {},
    [[]],
    {"a": None},
    ["\x00"],
    "a\u200db",
)
VALUES = (
    "\x00",
    "\ud800",
    2**70,
    -(2**70),
    1e308,
    "9999999999-11-20T12:00:00Z",
    "0001-01-01T00:00:00+23:59",
    None,
    [],
    {},
)


@pytest.fixture(scope="module")
def operations(app: FastAPI) -> list[Operation]:
    return list(operations_of(app))


@pytest.fixture(autouse=True)
def no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RateLimits, "take", lambda *_: ())


@pytest.fixture
def resources(client: httpx.AsyncClient, operations: list[Operation], admin, work_off) -> OwnedResources:
    return OwnedResources(client, operations, admin, work_off)


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the header fields that the program looks at while a test runs."""
    names: set[str] = set()
    for method in ("__getitem__", "__contains__", "getlist"):
        original = getattr(Headers, method)

        def noting(self: Headers, key: str, original: Any = original) -> Any:
            if type(self) is Headers:  # those of answers are of a class below it
                names.add(key.lower())
            return original(self, key)

        monkeypatch.setattr(Headers, method, noting)
    return names


def readers(operations: list[Operation]) -> list[Operation]:
    """Return an operation of each kind: with and without a body, with a tag, with ranges, with events."""
    wanted = {
        "POST /v1/auth/token",
        "POST /v1/files",
        "GET /v1/files",
        "GET /v1/files/{file_id}",
        "PATCH /v1/files/{file_id}",
        "GET /v1/files/{file_id}/content",
        "HEAD /v1/files/{file_id}/content",
        "GET /v1/jobs/{job_id}/events",
        "GET /errors",
    }
    return [operation for operation in operations if operation.name in wanted]


async def test_no_header_is_a_server_error(client, operations, resources, user, read_names: set[str]) -> None:
    for operation in readers(operations):
        address = await resources.address(operation, user)
        for name, values in HEADERS.items():
            for value in values:
                given = {**user.headers, "content-type": "application/json"}
                headers = {**{each.lower(): said for each, said in given.items()}, name: value}
                body = {"content": b"{}"} if operation.method in {"POST", "PATCH"} else {}
                answer = await client.request(operation.method, address, headers=headers, **body)
                assert answer.status_code < SERVER_ERROR or answer.status_code == 501, (
                    operation.name,
                    name,
                    value,
                )
    assert read_names - HEADERS.keys() == set(), "a header that is read is tested here too"


@pytest.mark.parametrize("date", [FAR, "Mon, 31 Feb 2026 12:00:00 GMT", "yesterday"])
async def test_a_condition_with_an_invalid_date_is_ignored(date: str, client, user) -> None:
    files = {"file": ("a.txt", b"some text", "text/plain")}
    file = (await client.post("/v1/files", files=files, headers=user.headers)).json()
    path = f"/v1/files/{file['id']}/content"
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        answer = await client.get(path, headers=user.headers | {name: date})
        assert (answer.status_code, answer.content) == (200, b"some text"), name
    answer = await client.get(path, headers=user.headers | {"If-Range": date, "Range": "bytes=0-3"})
    assert (answer.status_code, answer.content) == (200, b"some text")


async def test_no_query_is_a_server_error(client, operations, admin) -> None:
    for operation in operations:
        names = [each["name"] for each in operation.details.get("parameters", []) if each["in"] == "query"]
        for name in names:
            for text in TEXTS:
                path = without_ids(operation.path)
                answer = await client.request(
                    operation.method, path, params={name: text}, headers=admin.headers
                )
                assert answer.status_code < SERVER_ERROR, (operation.name, name, text)


def without_ids(path: str) -> str:
    """Put a random id into every place of a path."""
    while "{" in path:
        before, _, rest = path.partition("{")
        path = f"{before}{uuid4()}{rest.partition('}')[2]}"
    return path


async def test_no_forged_cursor_is_a_server_error(client, operations, admin) -> None:
    for operation in operations:
        parameters = {each["name"]: each for each in operation.details.get("parameters", [])}
        if "cursor" not in parameters:
            continue
        for sort in parameters["sort"]["schema"]["enum"]:
            for cursor in forged(sort):
                answer = await client.get(
                    without_ids(operation.path),
                    params={"sort": sort, "cursor": cursor},
                    headers=admin.headers,
                )
                assert answer.status_code < SERVER_ERROR, (operation.name, sort, cursor)


def forged(sort: str) -> Iterator[str]:
    for value in VALUES:
        for said in ([sort, value, str(uuid4())], [sort, "a", value], [value, sort], value):
            yield base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


async def test_no_member_of_a_body_is_a_server_error(client, operations, resources, people) -> None:
    odd = cycle(MEMBERS)
    for operation in operations:
        if not isinstance(operation.body, dict):
            continue
        owner = await people.register()
        caller = resources.admin if operation.is_for_admins else owner
        address = await resources.address(operation, owner)
        for name in operation.body:
            for value in islice(odd, 12):
                body = operation.body | {name: value}
                answer = await client.request(operation.method, address, json=body, headers=caller.headers)
                assert answer.status_code < SERVER_ERROR, (operation.name, name, value)
