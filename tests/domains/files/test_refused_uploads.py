"""Uploads that are refused or interrupted leave nothing behind."""

import asyncio
import base64
import json

import pytest

from tests.domains.files.http_helpers import MIB, get, usage_of


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!doctype html><p>", "text/html"),
        (b"<svg onload=x>", "image/svg+xml"),
        (b"MZ\x90\x00\x03\x00\x00\x00", ""),
    ],
)
async def test_a_type_that_is_not_accepted_leaves_nothing(client, user, stored, data, kind):
    before = stored()
    answer = await client.post(
        "/v1/files", files={"file": ("photo.png", data, "image/png")}, headers=user.headers
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "files.type_refused")
    assert answer.json()["content_type"].startswith(kind)
    assert stored() == before
    assert await usage_of(client, user) == (0, 0, 0)


async def test_a_polyglot_is_what_its_bytes_begin_with_and_can_do_no_harm(client, user, upload):
    file = await upload(user, b"GIF89a/*\x00\x00*/=1;alert(1)//", "x.js")
    assert file["content_type"] == "image/gif"
    content = await get(client, user, f"/v1/files/{file['id']}/content?disposition=inline")
    assert content.headers["content-disposition"] == 'attachment; filename="x.js"'
    assert content.headers["x-content-type-options"] == "nosniff"
    assert content.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert content.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (
            {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"},
            b"x",
            400,
            "files.digest_mismatch",
        ),
        ({"Repr-Digest": "sha-256=:AAAA:"}, b"x", 400, "files.malformed_digest"),
        ({"Repr-Digest": "sha-256=?"}, b"x", 400, "files.malformed_digest"),
        (
            {"Content-Disposition": "attachment; filename=a; filename=b"},
            b"x",
            400,
            "files.malformed_disposition",
        ),
        ({"Content-Type": "multipart/form-data"}, b"x", 400, "files.malformed_multipart"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\n", 400, "files.malformed_multipart"),
    ],
)
async def test_a_malformed_upload_is_refused_and_leaves_nothing(
    client, user, stored, headers, body, status, code
):
    before = stored()
    answer = await client.post("/v1/files", content=body, headers=user.headers | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stored() == before
    assert await usage_of(client, user) == (0, 0, 0)


async def test_a_form_without_a_chosen_file_says_so(client, user, stored):
    before = stored()
    for name in ('filename=""', None):
        head = b'--x\r\nContent-Disposition: form-data; name="file"'
        head += b"" if name is None else b"; " + name.encode()
        body = head + b"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n"
        headers = user.headers | {"Content-Type": "multipart/form-data; boundary=x"}
        answer = await client.post("/v1/files", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "files.nothing_chosen")
        assert "`file`" in answer.json()["detail"]
    assert stored() == before


async def test_an_empty_file_with_a_name_is_a_file(client, user):
    answer = await client.post("/v1/files", files={"file": ("empty.txt", b"")}, headers=user.headers)
    assert (answer.status_code, answer.json()["size"]) == (201, 0)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"file": "aGVsbG8=", "name": "a.txt"}'),
        ("Application/JSON; charset=utf-8", b"{}"),
        ("application/x-www-form-urlencoded", b"file=hello&name=a.txt"),
    ],
)
async def test_parameters_in_place_of_a_file_are_told_how_to_send_one(client, user, stored, kind, body):
    before = stored()
    answer = await client.post("/v1/files", content=body, headers=user.headers | {"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "files.no_file_in_body")
    assert "part `file`" in answer.json()["detail"]
    assert "bytes of the file as the body" in answer.json()["detail"]
    assert stored() == before


async def test_json_with_a_name_is_a_file(client, user):
    named = {"Content-Type": "application/json", "Content-Disposition": "attachment; filename=a.json"}
    answer = await client.post("/v1/files", content=b'{"a": 1}', headers=user.headers | named)
    assert (answer.status_code, answer.json()["name"]) == (201, "a.json")


async def test_the_part_with_the_file_is_named_file(client, user):
    answer = await client.post("/v1/files", files={"photo": ("a.jpg", b"x" * 50_000)}, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "files.malformed_multipart")
    assert answer.json()["detail"] == "The part with the file must be named `file`, not `photo`."


async def test_a_form_whose_fields_were_left_empty_is_taken(client, user):
    form = {"tags": [""], "metadata": ""}
    answer = await client.post("/v1/files", files={"file": ("a.txt", b"x")}, data=form, headers=user.headers)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["tags"], answer.json()["metadata"]) == ([], {})


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": "[]"},
        {"metadata": "{"},
        {"metadata": '{"a": NaN}'},
        {"metadata": '{"a": "\\u0000"}'},
        {"tags": [str(number) for number in range(19)] + ["x" * 65]},
        {"other": "x"},
    ],
)
async def test_details_that_cannot_be_kept_are_refused(client, user, work_off, stored, fields):
    await work_off()  # what other tests have left waiting
    before = stored()
    answer = await client.post("/v1/files", files={"file": ("a", b"x")}, data=fields, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "files.details_refused")
    await work_off()
    assert stored() == before
    assert await usage_of(client, user) == (0, 0, 0)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("[]", "valid dictionary"),
        ("{", "must be a JSON object: it is not valid JSON at line 1 column 2."),
        ('{"a": NaN}', "must be a JSON object: NaN and Infinity are not JSON."),
        ('{"a": 1, "a": 2}', "must be a JSON object: An object names a member twice."),
    ],
)
async def test_a_refusal_of_metadata_says_what_is_wrong(client, user, metadata, said):
    form = {"files": {"file": ("a", b"x")}, "data": {"metadata": metadata}}
    answer = await client.post("/v1/files", headers=user.headers, **form)
    assert (answer.status_code, answer.json()["code"]) == (422, "files.details_refused")
    assert said in answer.json()["detail"]


async def test_tags_and_metadata_have_limits(client, user, upload, limits):
    limits(files_max_tags=1, files_max_metadata_bytes=10)
    file = await upload(user, tags=["a"], metadata="{}")
    path = f"/v1/files/{file['id']}"
    for change in ({"tags": ["a", "b"]}, {"metadata": {"a": "long enough"}}):
        answer = await client.patch(path, json=change, headers=user.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "files.details_refused")


async def test_metadata_of_many_small_values_is_refused(client, user, upload, limits):
    limits(files_max_metadata_values=7)
    most = {"a": [[], {"b": None}, 1, {}], "c": ""}
    file = await upload(user, metadata=json.dumps(most))
    path = f"/v1/files/{file['id']}"
    assert (await client.patch(path, json={"metadata": most}, headers=user.headers)).status_code == 200
    for more in (most | {"d": 1}, most | {"c": [0]}, most | {"c": {"d": {}}}):
        form = {"metadata": json.dumps(more)}
        answers = [
            await client.patch(path, json={"metadata": more}, headers=user.headers),
            await client.post("/v1/files", files={"file": ("a", b"x")}, data=form, headers=user.headers),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (422, "files.details_refused")


@pytest.mark.parametrize("raw", [True, False])
async def test_a_file_past_the_limit_or_the_quota_leaves_nothing(client, user, stored, limits, raw):
    before = stored()
    for name in ("files_max_bytes", "files_quota_bytes"):
        limits(**{name: MIB})
        given = {"content": b"x" * (MIB + 1)} if raw else {"files": {"file": ("a", b"x" * (MIB + 1))}}
        answer = await client.post("/v1/files", headers=user.headers, **given)
        assert (answer.status_code, answer.json()["code"].split(".")[0]) == (413, "files")
        assert stored() == before
        assert await usage_of(client, user) == (0, 0, 0)
    fits = await client.post("/v1/files", content=b"x" * MIB, headers=user.headers)
    assert fits.status_code == 201
    assert (await client.post("/v1/files", content=b"y", headers=user.headers)).json()[
        "code"
    ] == "files.quota_exceeded"


async def test_a_client_that_goes_away_leaves_nothing(app, user, client, stored):
    before = stored()
    sent = asyncio.Event()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/files",
        "raw_path": b"/v1/files",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"authorization", user.headers["Authorization"].encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }

    async def receive():
        if sent.is_set():
            return {"type": "http.disconnect"}
        sent.set()
        return {"type": "http.request", "body": b"x" * 3 * MIB, "more_body": True}

    async def send(message):
        pass

    await app(scope, receive, send)
    assert stored() == before
    assert await usage_of(client, user) == (0, 0, 0)


async def test_a_length_beyond_all_numbers_is_too_large(client, user):
    headers = user.headers | {"Content-Length": "1" + "0" * 18, "Content-Type": "text/plain"}
    answer = await client.post("/v1/files", content=b"words", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "files.too_large")


async def test_parallel_uploads_cannot_overdraw_the_quota(client, user, limits):
    limits(files_quota_bytes=3 * MIB)

    async def send(letter: str) -> int:
        answer = await client.post("/v1/files", content=letter.encode() * MIB, headers=user.headers)
        return answer.status_code

    assert sorted(await asyncio.gather(*map(send, "abcdefgh"))) == [201] * 3 + [413] * 5
    assert await usage_of(client, user) == (3 * MIB, 0, 3)


async def test_a_request_without_a_body_is_no_empty_file(client, user) -> None:
    nothing = await client.post("/v1/files", headers=user.headers)
    assert (nothing.status_code, nothing.json()["code"]) == (400, "files.nothing_sent")
    empty = await client.post("/v1/files", headers=user.headers | {"Content-Type": "text/plain"})
    assert (empty.status_code, empty.json()["size"]) == (201, 0)


async def test_metadata_is_said_once(client, user) -> None:
    parts = [("metadata", (None, text)) for text in ('{"a": 1}', '{"a": 2}')]
    files = [*parts, ("file", ("notes.txt", b"words", "text/plain"))]
    answer = await client.post("/v1/files", files=files, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "files.details_refused")
