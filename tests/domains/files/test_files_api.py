import asyncio
import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from bootstrap.container import TulouContainer
from domains.files.settings import FilesSettings
from shared.clock import Clock

DATA = Path(__file__).parents[2] / "data"
PHOTO = (DATA / "astronaut.jpg").read_bytes()
MANUAL = (DATA / "bzip2-manual.pdf").read_bytes()
MIB = 1 << 20


@pytest.fixture
def limits(composition: TulouContainer, monkeypatch):
    """Change settings of files for one test: the services share one object."""

    def change(**values) -> None:
        changed = composition.settings().model_copy(update=values)
        assert isinstance(changed, FilesSettings)
        for service in (
            composition.files.uploads(),
            composition.files.library(),
            composition.files.cleaning(),
        ):
            monkeypatch.setattr(service, "settings", changed)

    return change


@pytest.fixture
def upload(client: httpx.AsyncClient):
    async def send(person, data: bytes = b"plain words", name: str = "a.txt", **fields):
        answer = await client.post(
            "/v1/files", files={"file": (name, data, "text/x-claimed")}, data=fields, headers=person.headers
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    return send


@pytest.fixture
def stored(composition: TulouContainer):
    """Tell which objects the store holds."""
    folder = composition.settings().data_dir / "files"
    return lambda: {path for path in folder.rglob("*") if path.is_file()}


async def get(client, person, path: str, **headers: str) -> httpx.Response:
    return await client.get(path, headers=person.headers | headers)


async def usage_of(client, person) -> tuple[int, int, int]:
    body = (await get(client, person, "/v1/files/usage")).json()
    return body["bytes"], body["reserved_bytes"], body["count"]


async def test_a_photograph_becomes_renditions_that_can_be_downloaded(client, user, upload, work_off):
    file = await upload(user, PHOTO, "me.jpg", tags=["space", "2026"], metadata='{"album": "moon"}')
    assert file["status"] == "processing"
    assert file["content_type"] == "image/jpeg"
    assert file["declared_content_type"] == "text/x-claimed"
    assert file["sha256"] == hashlib.sha256(PHOTO).hexdigest()
    assert (file["tags"], file["metadata"]) == (["space", "2026"], {"album": "moon"})
    (job,) = file["jobs"]
    assert (job["kind"], job["status"]) == ("files.process", "queued")
    pending = await get(client, user, f"/v1/files/{file['id']}/renditions/thumb")
    assert (pending.status_code, pending.headers["retry-after"]) == (202, "1")
    await work_off()
    done = (await get(client, user, job["url"])).json()
    assert done["status"] == "succeeded"
    file = (await get(client, user, f"/v1/files/{file['id']}")).json()
    assert (file["status"], file["jobs"]) == ("ready", [])
    listed = (await get(client, user, f"/v1/files/{file['id']}/renditions")).json()["data"]
    assert {row["name"]: row["status"] for row in listed} == dict.fromkeys(
        ["large", "small", "thumb"], "ready"
    )
    for row in listed:
        made = await get(client, user, row["url"])
        with Image.open(io.BytesIO(made.content)) as picture:
            assert picture.format == "WEBP"
            assert picture.size == (row["facts"]["width"], row["facts"]["height"])
            assert not picture.getexif()
        assert len(made.content) == row["size"]
        assert made.headers["content-disposition"].startswith("attachment")
        shown = await get(client, user, row["url"] + "?disposition=inline")
        assert shown.headers["content-disposition"].startswith("inline")


async def test_words_inside_a_document_find_it(client, user, other, upload, work_off):
    file = await upload(user, MANUAL, "zebra.pdf")
    await upload(user, b"nothing of the kind")
    await work_off()

    async def found(words: str, person=user) -> list[str]:
        answer = await client.get("/v1/files", params={"q": words}, headers=person.headers)
        return [each["id"] for each in answer.json()["data"]]

    assert await found("compression algorithm") == [file["id"]]
    assert await found("zebra") == [file["id"]]
    assert await found("zebra -compression") == []
    assert await found('"') == []
    assert await found("compression", other) == []
    read = (await get(client, user, f"/v1/files/{file['id']}")).json()
    assert read["facts"]["pages"] > 10
    text = await get(client, user, f"/v1/files/{file['id']}/renditions/text")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert "bzip2" in text.text
    preview = await get(client, user, f"/v1/files/{file['id']}/renditions/preview?disposition=inline")
    assert preview.content[8:12] == b"WEBP"
    renamed = await client.patch(
        f"/v1/files/{file['id']}", json={"name": "new-title.pdf"}, headers=user.headers
    )
    assert renamed.json()["name"] == "new-title.pdf"
    assert await found("title compression") == [file["id"]]
    assert await found("zebra") == []


async def test_a_raw_body_is_a_file_too(client, user):
    headers = user.headers | {
        "Content-Type": "application/pdf",
        "Content-Disposition": "attachment; filename=x; filename*=UTF-8''%C3%BCber%2Funs.pdf",
        "Repr-Digest": f"sha-512=:AAAA:, sha-256=:{base64.b64encode(hashlib.sha256(MANUAL).digest()).decode()}:",
    }
    answer = await client.post("/v1/files", content=MANUAL, headers=headers)
    assert answer.status_code == 201, answer.text
    file = answer.json()
    assert answer.headers["location"] == f"/v1/files/{file['id']}"
    assert (file["name"], file["content_type"]) == ("uns.pdf", "application/pdf")
    content = await get(client, user, f"/v1/files/{file['id']}/content")
    assert content.content == MANUAL


async def test_a_broken_document_fails_its_job_and_stays_downloadable(client, user, upload, work_off):
    file = await upload(user, b"%PDF-1.4 broken", "broken.pdf")
    await work_off()
    job = (await get(client, user, file["jobs"][0]["url"])).json()
    assert (job["status"], job["error"]["code"]) == ("failed", "files.broken_document")
    read = (await get(client, user, f"/v1/files/{file['id']}")).json()
    assert read["status"] == "ready"
    assert {row["problem"]["code"] for row in read["renditions"]} == {"files.broken_document"}
    refused = await get(client, user, f"/v1/files/{file['id']}/renditions/text")
    assert (refused.status_code, refused.json()["code"]) == (409, "files.rendition_failed")
    assert refused.json()["problem"]["code"] == "files.broken_document"
    content = await get(client, user, f"/v1/files/{file['id']}/content")
    assert content.content == b"%PDF-1.4 broken"


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


async def test_a_hostile_name_stays_a_name(client, user, upload, stored):
    before = stored()
    file = await upload(user, name="../../etc/pass\u202ewd ä.txt")
    assert file["name"] == "passwd ä.txt"
    (path,) = stored() - before
    assert "passwd" not in str(path)
    header = (await get(client, user, f"/v1/files/{file['id']}/content")).headers["content-disposition"]
    assert header == "attachment; filename=\"passwd _.txt\"; filename*=UTF-8''passwd%20%C3%A4.txt"


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
    before = stored()
    answer = await client.post("/v1/files", files={"file": ("a", b"x")}, data=fields, headers=user.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "files.details_refused")
    await work_off()
    assert stored() == before
    assert await usage_of(client, user) == (0, 0, 0)


async def test_tags_and_metadata_have_limits(client, user, upload, limits):
    limits(files_max_tags=1, files_max_metadata_bytes=10)
    file = await upload(user, tags=["a"], metadata="{}")
    path = f"/v1/files/{file['id']}"
    for change in ({"tags": ["a", "b"]}, {"metadata": {"a": "long enough"}}):
        answer = await client.patch(path, json=change, headers=user.headers)
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


async def test_ranges_and_conditions_of_a_download(client, user, upload):
    file = await upload(user, b"0123456789" * 10)
    path = f"/v1/files/{file['id']}/content"
    whole = await get(client, user, path)
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    assert etag == f'"{file["sha256"]}"'
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    part = await get(client, user, path, Range="bytes=5-9")
    assert (part.status_code, part.content) == (206, b"56789")
    assert part.headers["content-range"] == "bytes 5-9/100"
    assert (await get(client, user, path, Range="bytes=-3")).content == b"789"
    several = await get(client, user, path, Range="bytes=0-1,10-12")
    assert several.status_code == 206
    assert several.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert int(several.headers["content-length"]) == len(several.content)
    assert b"Content-Range: bytes 10-12/100\r\n\r\n012\r\n--" in several.content
    beyond = await get(client, user, path, Range="bytes=100-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */100")
    assert (await get(client, user, path, Range="bytes=" + "0-0," * 9999 + "0-0")).status_code == 416
    assert (await get(client, user, path, Range="bytes=0-0", **{"If-Range": etag})).status_code == 206
    assert (await get(client, user, path, Range="bytes=0-0", **{"If-Range": '"old"'})).status_code == 200
    for header, value, status in (
        ("If-None-Match", etag, 304),
        ("If-None-Match", '"old"', 200),
        ("If-Modified-Since", modified, 304),
        ("If-Match", etag, 200),
        ("If-Match", '"old"', 412),
        ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
    ):
        assert (await get(client, user, path, **{header: value})).status_code == status, header


async def test_the_headers_alone_can_be_asked_for(client, user, upload):
    file = await upload(user)
    answer = await client.head(f"/v1/files/{file['id']}/content", headers=user.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(file["size"])
    assert answer.headers["etag"] == f'"{file["sha256"]}"'


async def test_lists_are_filtered_sorted_and_paged(client, user, other, upload):
    await upload(other)
    for name, data, tag in (("b", PHOTO, "x"), ("a", b"words", "x"), ("c", b"a,b\n1,2\n", "y")):
        await upload(user, data, name, tags=[tag])

    async def names(**query) -> list[str]:
        answer = await client.get("/v1/files", params=query, headers=user.headers)
        assert answer.status_code == 200, answer.text
        return [file["name"] for file in answer.json()["data"]]

    assert await names() == ["c", "a", "b"]
    assert await names(sort="name") == ["a", "b", "c"]
    assert await names(sort="-size") == ["b", "c", "a"]
    assert await names(type="image") == ["b"]
    assert await names(type="text/*", sort="name") == ["a", "c"]
    assert await names(type="text/csv") == ["c"]
    assert await names(tag="x", sort="name") == ["a", "b"]
    assert await names(tag="x", type="image") == ["b"]
    first = await client.get("/v1/files", params={"limit": 2, "include_total": True}, headers=user.headers)
    assert (first.json()["total"], len(first.json()["data"])) == (3, 2)
    assert 'rel="next"' in first.headers["link"]
    assert await names(limit=2, cursor=first.json()["next_cursor"]) == ["b"]
    for bad in ({"type": "a/b/c"}, {"sort": "owner_id"}, {"q": ""}, {"tag": "x" * 65}):
        assert (await client.get("/v1/files", params=bad, headers=user.headers)).status_code == 422


async def test_a_file_goes_to_the_trash_and_comes_back(client, user, upload):
    file = await upload(user)
    path = f"/v1/files/{file['id']}"
    for _ in range(2):
        assert (await client.delete(path, headers=user.headers)).status_code == 204
    assert (await get(client, user, path)).json()["status"] == "deleted"
    assert (await get(client, user, "/v1/files")).json()["data"] == []
    assert [each["id"] for each in (await get(client, user, "/v1/files?deleted=true")).json()["data"]] == [
        file["id"]
    ]
    for answer in (
        await get(client, user, f"{path}/content"),
        await client.patch(path, json={"name": "b"}, headers=user.headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "files.in_trash")
    restored = await client.post(f"{path}/restore", headers=user.headers)
    assert (restored.status_code, restored.json()["status"]) == (200, "ready")
    assert (await get(client, user, f"{path}/content")).status_code == 200


async def test_changes_replace_what_they_name_and_nothing_else(client, user, upload):
    file = await upload(user, tags=["a"], metadata='{"b": 1}')
    path = f"/v1/files/{file['id']}"
    changed = (await client.patch(path, json={"tags": ["c", "d"]}, headers=user.headers)).json()
    assert (changed["name"], changed["tags"], changed["metadata"]) == ("a.txt", ["c", "d"], {"b": 1})
    for bad in ({"name": "a/b"}, {"owner_id": str(uuid4())}, {"tags": [""]}, {"metadata": []}):
        assert (await client.patch(path, json=bad, headers=user.headers)).status_code == 422


async def test_what_is_somebody_elses_is_not_there(client, user, other, upload):
    file = await upload(user, PHOTO)
    path = f"/v1/files/{file['id']}"
    answers = [
        await get(client, other, path),
        await get(client, other, f"{path}/content"),
        await client.head(f"{path}/content", headers=other.headers),
        await get(client, other, f"{path}/renditions"),
        await get(client, other, f"{path}/renditions/thumb"),
        await client.patch(path, json={"name": "b"}, headers=other.headers),
        await client.delete(path, headers=other.headers),
        await client.post(f"{path}/restore", headers=other.headers),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert (await get(client, user, f"{path}/renditions/nothing")).json()[
        "code"
    ] == "files.rendition_not_found"
    assert (await client.get(path)).status_code == 401
    assert (await client.post("/v1/files", content=b"x")).status_code == 401


async def test_equal_bytes_are_kept_until_the_last_file_is_gone(
    client, user, other, upload, stored, work_off, composition
):
    data = b"shared " + uuid4().bytes.hex().encode()
    await work_off()
    before = stored()
    mine, theirs = await upload(user, data), await upload(other, data)
    await work_off()
    assert len(stored() - before) == 1
    await composition.files.cleaning().remove(mine["id"])
    await work_off()
    assert await usage_of(client, user) == (0, 0, 0)
    assert (await get(client, other, f"/v1/files/{theirs['id']}/content")).content == data
    await composition.files.cleaning().remove(theirs["id"])
    await work_off()
    assert stored() == before


async def test_everything_of_a_person_can_be_purged(
    client, user, other, upload, stored, work_off, composition
):
    kept = await upload(other, b"stays " + uuid4().bytes.hex().encode())
    await work_off()
    before = stored()
    for data in (PHOTO, MANUAL, b"words"):
        await upload(user, data + b"\n" + uuid4().bytes.hex().encode())
    await work_off()
    for _ in range(2):
        await composition.files.cleaning().purge(user.id)
    await work_off()
    assert stored() == before
    assert await usage_of(client, user) == (0, 0, 0)
    assert (await get(client, user, "/v1/files")).json()["data"] == []
    assert (await get(client, other, f"/v1/files/{kept['id']}/content")).status_code == 200


class _Later(Clock):
    def __init__(self, days: float) -> None:
        self.days = days

    def now(self):
        from datetime import timedelta

        return super().now() + timedelta(days=self.days)


async def test_the_sweep_purges_old_trash_and_abandoned_uploads(
    client, user, upload, stored, work_off, composition, monkeypatch
):
    before = stored()
    trashed, kept = await upload(user, b"to be gone"), await upload(user, b"to stay")
    await client.delete(f"/v1/files/{trashed['id']}", headers=user.headers)

    async def torn() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(60)

    request = asyncio.ensure_future(client.post("/v1/files", content=torn(), headers=user.headers))
    uploads = composition.files.uploads()
    monkeypatch.setattr(uploads, "_abandon", _killed)
    await asyncio.sleep(0.3)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert (await usage_of(client, user))[1:] == (64 * MIB, 3)
    cleaning = composition.files.cleaning()
    await cleaning.sweep()
    assert (await usage_of(client, user))[2] == 3
    monkeypatch.setattr(cleaning, "clock", _Later(2))
    await cleaning.sweep()
    assert (await usage_of(client, user))[1:] == (0, 2)
    monkeypatch.setattr(cleaning, "clock", _Later(31))
    await cleaning.sweep()
    await work_off()
    assert (await get(client, user, f"/v1/files/{trashed['id']}")).status_code == 404
    assert (await get(client, user, f"/v1/files/{kept['id']}")).status_code == 200
    assert len(stored() - before) == 1


async def _killed(_upload: object) -> None:
    """What a killed process does about its upload: nothing."""


async def test_the_sweep_settles_a_file_whose_work_was_cancelled(
    client, user, upload, composition, monkeypatch
):
    file = await upload(user, PHOTO)
    cancelled = await client.post(f"{file['jobs'][0]['url']}/cancel", headers=user.headers)
    assert cancelled.status_code in {200, 202}
    cleaning = composition.files.cleaning()
    monkeypatch.setattr(cleaning, "clock", _Later(0.1))
    await cleaning.sweep()
    read = (await get(client, user, f"/v1/files/{file['id']}")).json()
    assert read["status"] == "ready"
    assert {row["problem"]["code"] for row in read["renditions"]} == {"files.work_not_finished"}


@pytest.mark.parametrize(
    ("path", "sort", "value"),
    [
        ("/v1/files", "-created_at", "0001-01-01T00:00:00+23:59"),
        ("/v1/files", "-created_at", "9999-12-31T23:59:59-23:59"),
        ("/v1/files", "-created_at", 1e300),
        ("/v1/files", "name", "a\x00b"),
        ("/v1/files", "name", "\ud800"),
        ("/v1/files", "name", None),
        ("/v1/files", "-size", 2**63),
        ("/v1/files", "size", "NaN"),
        ("/v1/jobs", "created_at", "0001-01-01T00:00:00+23:59"),
        ("/v1/auth/sessions", "-created_at", "0001-01-01T00:00:00+23:59"),
        ("/v1/users", "email", "\udfff@example.com"),
        ("/v1/emails", "-created_at", "9999-12-31T23:59:59-23:59"),
    ],
)
async def test_a_cursor_that_was_not_made_here_is_a_bad_one(client, admin, path, sort, value):
    made = json.dumps([sort, value, str(uuid4())]).encode()
    query = {"sort": sort, "cursor": base64.urlsafe_b64encode(made).decode().rstrip("=")}
    answer = await client.get(path, params=query, headers=admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "pagination.bad_cursor"), answer.text


async def test_a_length_beyond_all_numbers_is_too_large(client, user):
    headers = user.headers | {"Content-Length": "1" + "0" * 18, "Content-Type": "text/plain"}
    answer = await client.post("/v1/files", content=b"words", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "files.too_large")


async def test_a_file_whose_work_is_cancelled_before_it_begins_is_ready_at_once(
    client, user, upload, work_off
):
    file = await upload(user, PHOTO)
    cancelled = await client.post(f"{file['jobs'][0]['url']}/cancel", headers=user.headers)
    assert cancelled.json()["status"] == "cancelled"
    await work_off()
    read = (await get(client, user, f"/v1/files/{file['id']}")).json()
    assert (read["status"], read["jobs"]) == ("ready", [])
    assert {row["problem"]["code"] for row in read["renditions"]} == {"files.work_not_finished"}
    again = await client.post(f"{file['jobs'][0]['url']}/retry", headers=user.headers)
    assert again.status_code == 202
    await work_off()
    read = (await get(client, user, f"/v1/files/{file['id']}")).json()
    assert {row["status"] for row in read["renditions"]} == {"ready"}


async def test_a_file_may_be_far_larger_than_a_json_body(client, user, upload):
    data = b"0123456789abcdef" * (5 * MIB // 16)
    file = await upload(user, data)
    content = await get(client, user, f"/v1/files/{file['id']}/content")
    assert content.content == data


async def test_parallel_uploads_share_bytes_and_parallel_removals_leave_none(
    client, user, other, upload, stored, work_off, composition
):
    data = b"shared by many " + uuid4().bytes.hex().encode()
    await work_off()
    before = stored()
    files = await asyncio.gather(*(upload(person, data) for person in (user, other) * 4))
    await work_off()
    assert len(stored() - before) == 1
    assert await usage_of(client, user) == (4 * len(data), 0, 4)
    cleaning = composition.files.cleaning()
    await asyncio.gather(*(cleaning.remove(file["id"]) for file in files), upload(user, data))
    await work_off()
    assert len(stored() - before) == 1
    assert await usage_of(client, user) == (len(data), 0, 1)
    assert await usage_of(client, other) == (0, 0, 0)


async def test_parallel_uploads_cannot_overdraw_the_quota(client, user, limits):
    limits(files_quota_bytes=3 * MIB)

    async def send(letter: str) -> int:
        answer = await client.post("/v1/files", content=letter.encode() * MIB, headers=user.headers)
        return answer.status_code

    assert sorted(await asyncio.gather(*map(send, "abcdefgh"))) == [201] * 3 + [413] * 5
    assert await usage_of(client, user) == (3 * MIB, 0, 3)


async def test_a_failed_job_can_be_retried_and_makes_what_was_missing(
    client, user, upload, work_off, composition, monkeypatch
):
    file = await upload(user, PHOTO)
    processing = composition.files.processing()
    monkeypatch.setattr(
        processing, "settings", composition.settings().model_copy(update={"files_max_pixels": 10})
    )
    await work_off()
    job = file["jobs"][0]["url"]
    assert (await get(client, user, job)).json()["error"]["code"] == "files.image_too_large"
    monkeypatch.undo()
    retried = await client.post(f"{job}/retry", headers=user.headers)
    assert retried.status_code == 202, retried.text
    await work_off()
    assert (await get(client, user, job)).json()["status"] == "succeeded"
    read = (await get(client, user, f"/v1/files/{file['id']}")).json()
    assert {(row["status"], row["problem"]) for row in read["renditions"]} == {("ready", None)}


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
