"""Checks before every route: strict JSON, limits, request ids, one format of errors."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html import escape
from types import SimpleNamespace
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from fastapi.dependencies.utils import get_dependant
from pydantic import Field
from starlette.requests import Request

from shared.db.pagination import PageRequest, page_request
from shared.errors import CATALOGUE
from shared.http import catalogue, routing
from shared.http.compression import Compression
from shared.http.middleware.access_log import AccessLog
from shared.http.middleware.edge import EdgeMiddleware
from shared.http.middleware.hosts import Hosts
from shared.http.middleware.request_guard import RequestGuard, Rules
from shared.http.middleware.request_recorder import RequestRecorder
from shared.http.problems import ProblemWriter
from shared.http.routing import Router, streams_body, without_query
from shared.schemas import RequestBody
from shared.trace import current_trace

MAX_BODY = 4096


class Note(RequestBody):
    text: str = Field(max_length=10)
    weight: float = 0
    tags: dict[str, object] = {}


@pytest.fixture
async def small() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a small application with every layer in front."""
    router = Router()

    @router.post("/notes")
    async def add(note: Note) -> Note:
        return note

    @router.post("/stream")
    @streams_body
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @router.post("/nobody")
    async def nobody() -> str:
        return "done"

    @router.delete("/silence", status_code=204)
    async def forget() -> None: ...

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hunter2")

    @router.get("/page")
    async def page(
        read: Annotated[PageRequest, page_request("name", default="name")],
        number: int = 7,
        old: int = Query(3),  # the form that has no default of Python's
    ) -> str:
        return f"{read.sort} {read.limit} {number} {old}"

    @router.get("/needing")
    async def needing(number: Annotated[int, Query()]) -> int:
        return number

    @router.get("/trace")
    async def trace() -> dict[str, str | None]:
        return {"request_id": current_trace().request_id, "traceparent": current_trace().traceparent}

    app = FastAPI()
    app.state.api = SimpleNamespace(compression=Compression(min_bytes=1024))
    writer = ProblemWriter(public_url="https://api.example.com/")
    writer.install(app)
    app.include_router(router)
    app.include_router(catalogue.router)
    rules = Rules(max_body=MAX_BODY, hosts=Hosts(), streams=lambda scope: scope["path"].startswith("/stream"))
    app.add_middleware(
        EdgeMiddleware,
        guard=RequestGuard(rules),
        problems=writer,
        request_recorder=RequestRecorder(AccessLog("json")),
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "a", "weight": NaN}',
        b'{"text": "a", "weight": Infinity}',
        b'{"text": "a", "weight": 1e999}',
        b'{"text": "\\ud800"}',
        b'{"text": "\\u0000"}',
        b'{"text": "a", "tags": {"\\u0000": 1}}',
        b'{"text": "a", "tags": {"x": ["\\udfff"]}}',
        b'{"text": "a", "text": "b"}',
        b'\xef\xbb\xbf{"text": "a"}',
        '{"text": "a"}'.encode("utf-16"),
        b'{"text": "\xff"}',
        b'{"text": "a"',
        b"{",
        b"'a'",
        b'{"text": "a"} trailing',
        b"[" * 1000 + b"]" * 1000,
        b'{"text": "a", "weight": ' + b"9" * 3000 + b"}",
    ],
)
async def test_what_is_no_json_is_refused(body: bytes, small: httpx.AsyncClient) -> None:
    answer = await small.post("/notes", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    json.loads(answer.content.decode("utf-8"))


@pytest.mark.parametrize(
    "text", ['{"text": "\\ud83d\\ude00"}', '{"text": "\\\\u0000"}', '{"text": "ü"}', '{"text": ""}']
)
async def test_harmless_text_is_taken(text: str, small: httpx.AsyncClient) -> None:
    answer = await small.post("/notes", content=text.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == json.loads(text)["text"]


async def test_an_answer_without_content_has_no_type_of_it(small: httpx.AsyncClient) -> None:
    answer = await small.delete("/silence")
    assert (answer.status_code, answer.content) == (204, b"")
    assert {"content-type", "content-length"} & answer.headers.keys() == set()
    assert "x-request-id" in answer.headers


async def test_each_broken_field_is_named(small: httpx.AsyncClient) -> None:
    answer = await small.post(
        "/notes", json={"text": "far too long to keep", "role": "admin", "weight": "heavy"}
    )
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "request.invalid_input"
    assert problem["type"] == "https://api.example.com/errors/request.invalid_input"
    assert problem["instance"] == "/notes"
    assert {error["pointer"] for error in problem["errors"]} == {"#/text", "#/role", "#/weight"}
    assert "far too long" not in answer.text


async def test_few_of_many_broken_fields_are_named(small: httpx.AsyncClient) -> None:
    answer = await small.post("/notes", json={"text": "a"} | {str(number): 1 for number in range(300)})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 50


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=utf-16"],
)
async def test_another_type_is_refused(content_type: str, small: httpx.AsyncClient) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await small.post("/notes", content=b'{"text": "a"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "request.unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", 'application/merge-patch+json;charset="utf-8"; x=y']
)
async def test_json_says_that_it_is_utf_8_or_nothing(content_type: str, small: httpx.AsyncClient) -> None:
    answer = await small.post("/notes", content=b'{"text": "a"}', headers={"Content-Type": content_type})
    assert answer.status_code == 200, answer.text


async def test_a_missing_body_is_named(small: httpx.AsyncClient) -> None:
    answer = await small.post("/notes")
    assert answer.status_code == 422


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 512):
        yield b"x" * 512


@pytest.mark.parametrize("path", ["/notes", "/nobody"])
async def test_a_large_body_is_refused_whether_or_not_it_says_its_size(path: str, small) -> None:
    for content in (b" " * (MAX_BODY + 1), chunks(MAX_BODY * 2)):
        answer = await small.post(path, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "request.body_too_large")
        assert answer.json()["limit"] == MAX_BODY


async def test_a_body_up_to_the_limit_arrives_whole(small: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"text":'
        yield b' "abc"}'

    answer = await small.post("/notes", content=parts(), headers={"Content-Type": "application/json"})
    assert answer.json()["text"] == "abc"


async def test_a_streaming_route_reads_by_itself(small: httpx.AsyncClient) -> None:
    answer = await small.post("/stream", content=chunks(MAX_BODY * 4))
    assert answer.json() == MAX_BODY * 4


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "3", "Transfer-Encoding": "chunked"},
        [("Content-Length", "3"), ("Content-Length", "4")],
    ],
)
async def test_an_ambiguous_length_is_refused(headers, small: httpx.AsyncClient) -> None:
    answer = await small.post("/notes", content=b"abc", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.ambiguous_length")


@pytest.mark.parametrize("length", ["-1", "many", "9" * 40])
async def test_a_nonsensical_length_is_refused(length: str, small: httpx.AsyncClient) -> None:
    answer = await small.post("/notes", content=b"abc", headers={"Content-Length": length})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path", ["/notes?x=%00", "/notes?x=%ff", "/no%00tes", "/no%fftes", "/notes?" + "x=1&" * 5000]
)
async def test_an_address_that_is_no_text_is_refused(path: str, small: httpx.AsyncClient) -> None:
    answer = await small.get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.bad_query")


async def test_unknown_paths_and_methods_are_problems_too(small: httpx.AsyncClient) -> None:
    missing = await small.get("/nowhere")
    assert (missing.status_code, missing.json()["code"]) == (404, "request.unknown_path")
    wrong = await small.delete("/notes")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "request.method_not_allowed")
    assert wrong.headers["Allow"] == "POST"
    odd = await small.request("BREW", "/notes")
    assert odd.status_code == 405


async def test_an_unexpected_error_tells_nothing_but_its_id(small: httpx.AsyncClient) -> None:
    answer = await small.get("/broken", headers={"X-Request-Id": "abc-123"})
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert answer.json()["request_id"] == "abc-123"
    assert answer.headers["X-Request-Id"] == "abc-123"


async def test_a_request_id_is_taken_or_made(small: httpx.AsyncClient) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    taken = await small.get("/trace", headers={"X-Request-Id": "mobile:42", "traceparent": parent})
    assert taken.headers["X-Request-Id"] == "mobile:42"
    assert taken.json() == {"request_id": "mobile:42", "traceparent": parent}
    for insane in ("", "a b", "x" * 129, "<script>"):
        made = await small.get("/trace", headers={"X-Request-Id": insane, "traceparent": "nonsense"})
        assert len(made.headers["X-Request-Id"]) == 36
        assert made.json() == {"request_id": made.headers["X-Request-Id"], "traceparent": None}


async def test_without_a_query_everything_has_its_default(small: httpx.AsyncClient) -> None:
    assert (await small.get("/page")).json() == "name 20 7 3"
    assert (await small.get("/page?limit=3&old=4")).json() == "name 3 7 4"
    missing = await small.get("/needing")
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (422, "missing")


def test_without_a_query_no_parameter_is_looked_for() -> None:
    async def endpoint(
        read: Annotated[PageRequest, page_request("name")],
        needed: int,
        number: int = 7,
        old: int = Query(3),  # as above
    ) -> None: ...

    found = without_query(get_dependant(path="/", call=endpoint))
    assert [field.name for field in found.query_params] == ["needed", "old"]
    assert [each.query_params for each in found.dependencies] == [[]]


def test_parameters_are_not_gone_through_before_the_first_query(monkeypatch) -> None:
    def gone_through(_dependant):
        raise AssertionError

    monkeypatch.setattr(routing, "get_flat_params", gone_through)

    @Router().get("/numbers", summary="Read a number")
    async def read_number(number: int = 7) -> int:
        return number


async def test_the_catalogue_explains_every_code(small: httpx.AsyncClient) -> None:
    listed = await small.get("/errors")
    assert {entry["code"] for entry in listed.json()} == set(CATALOGUE)
    page = await small.get("/errors", headers={"Accept": "text/html"})
    assert "/errors/request.invalid_input" in page.text
    entry = await small.get("/errors/request.invalid_input")
    assert entry.json()["status"] == 422
    page = await small.get("/errors/request.invalid_input", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "style-src 'sha256-" in page.headers["content-security-policy"]
    for name in ("detail", "cause", "remedy"):
        assert re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(entry.json()[name])) in page.text
    missing = await small.get("/errors/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "errors.unknown")


async def test_each_error_has_a_sentence_for_its_cause_and_its_remedy(small: httpx.AsyncClient) -> None:
    entries = (await small.get("/errors")).json()
    lacking = [
        entry["code"]
        for entry in entries
        for name in ("cause", "remedy")
        if not entry[name].endswith((".", ")."))
    ]
    assert lacking == []


def with_edge_middleware(app) -> EdgeMiddleware:
    """An application behind the layer alone."""
    guard = RequestGuard(Rules(max_body=10, hosts=Hosts()))
    return EdgeMiddleware(
        app,
        guard=guard,
        problems=ProblemWriter(public_url=""),
        request_recorder=RequestRecorder(AccessLog("json")),
    )


async def test_a_client_that_goes_away_while_its_body_is_read_harms_nobody() -> None:
    seen: list[str] = []

    async def app(scope, receive, send) -> None:
        seen.append((await receive())["type"])

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        pass

    scope = {
        "type": "http",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"test"), (b"content-length", b"5")],
        "method": "POST",
    }
    await asyncio.wait_for(with_edge_middleware(app)(scope, receive, send), 5)
    assert seen == ["http.disconnect"]


async def test_what_is_not_http_passes() -> None:
    seen: list[str] = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["type"])

    await with_edge_middleware(app)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]


async def test_a_client_that_goes_away_rings_no_bell(small: httpx.AsyncClient) -> None:
    from starlette.requests import ClientDisconnect
    from structlog.testing import capture_logs

    async def app(scope, receive, send) -> None:
        raise ClientDisconnect

    with capture_logs() as logs:
        headers = [(b"host", b"test")]
        scope = {"type": "http", "path": "/x", "method": "GET", "query_string": b"", "headers": headers}
        await with_edge_middleware(app)(scope, None, None)
    assert [(line["event"], line["log_level"]) for line in logs] == [("client_went_away", "info")]
