"""Files over HTTP: upload, list, change, download."""

import base64
import hashlib
import io
from uuid import uuid4

import pytest
from PIL import Image

from tests.domains.files.http_helpers import MANUAL, MIB, PHOTO, get


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


async def test_a_hostile_name_stays_a_name(client, user, upload, stored):
    before = stored()
    file = await upload(user, name="../../etc/pass\u202ewd ä.txt")
    assert file["name"] == "passwd ä.txt"
    (path,) = stored() - before
    assert "passwd" not in str(path)
    header = (await get(client, user, f"/v1/files/{file['id']}/content")).headers["content-disposition"]
    assert header == "attachment; filename=\"passwd _.txt\"; filename*=UTF-8''passwd%20%C3%A4.txt"


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


async def test_a_request_that_changes_nothing_keeps_the_etag(client, user, upload):
    path = f"/v1/files/{(await upload(user, tags=['a']))['id']}"
    tag = (await get(client, user, path)).headers["ETag"]
    same = await client.patch(path, json={"name": "a.txt", "tags": ["a"]}, headers=user.headers)
    restored = await client.post(f"{path}/restore", headers=user.headers)
    assert [answer.headers["ETag"] for answer in (same, restored)] == [tag, tag]
    changed = await client.patch(path, json={"tags": None}, headers=user.headers)
    assert changed.headers["ETag"] != tag
    assert changed.json()["tags"] == []


async def test_changes_replace_what_they_name_and_nothing_else(client, user, upload):
    file = await upload(user, tags=["a"], metadata='{"b": 1}')
    path = f"/v1/files/{file['id']}"
    changed = (await client.patch(path, json={"tags": ["c", "d"]}, headers=user.headers)).json()
    assert (changed["name"], changed["tags"], changed["metadata"]) == ("a.txt", ["c", "d"], {"b": 1})
    for bad in (
        {"name": "a/b"},
        {"owner_id": str(uuid4())},
        {"tags": [""]},
        {"metadata": []},
        {"name": None},
    ):
        assert (await client.patch(path, json=bad, headers=user.headers)).status_code == 422


async def test_null_empties_tags_and_metadata(client, user, upload):
    file = await upload(user, tags=["a"], metadata='{"b": 1}')
    path = f"/v1/files/{file['id']}"
    changed = (await client.patch(path, json={"tags": None}, headers=user.headers)).json()
    assert (changed["name"], changed["tags"], changed["metadata"]) == ("a.txt", [], {"b": 1})
    changed = (await client.patch(path, json={"metadata": None}, headers=user.headers)).json()
    assert (changed["name"], changed["tags"], changed["metadata"]) == ("a.txt", [], {})
    changed = (await client.patch(path, json={}, headers=user.headers)).json()
    assert changed["name"] == "a.txt"


async def test_metadata_is_measured_without_the_spaces_between_its_members(client, user, upload, limits):
    limits(files_max_metadata_bytes=20)
    file = await upload(user, metadata='{ "a": [1, 2, 3, 4, 5, 6] }')
    path = f"/v1/files/{file['id']}"
    for numbers, status in (([1, 2, 3, 4, 5, 67], 200), ([1, 2, 3, 4, 55, 67], 422)):
        answer = await client.patch(path, json={"metadata": {"a": numbers}}, headers=user.headers)
        assert answer.status_code == status, answer.text


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


async def test_a_file_may_be_far_larger_than_a_json_body(client, user, upload):
    data = b"0123456789abcdef" * (5 * MIB // 16)
    file = await upload(user, data)
    content = await get(client, user, f"/v1/files/{file['id']}/content")
    assert content.content == data


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


@pytest.mark.parametrize(
    "name", [".gitignore", "شب\u200cنم.txt", "👨\u200d👩\u200d👧 \U0001faea.txt", "山田\u3000太郎.txt"]
)
async def test_a_name_comes_back_as_it_was_given(client, user, name):
    answer = await client.post("/v1/files", files={"file": (name, b"text")}, headers=user.headers)
    assert answer.json()["name"] == name
    renamed = await client.patch(
        f"/v1/files/{answer.json()['id']}", json={"name": f"a {name}"}, headers=user.headers
    )
    assert renamed.json()["name"] == f"a {name}"


async def test_six_characters_that_look_like_nul_are_no_nul(client, user):
    metadata = '{"a": "\\\\u0000", "b": "C:\\\\\\\\u0000"}'
    kept = {"a": "\\u0000", "b": "C:\\\\u0000"}
    form = {"file": ("a.txt", b"text")}
    answer = await client.post("/v1/files", files=form, data={"metadata": metadata}, headers=user.headers)
    assert (answer.status_code, answer.json().get("metadata")) == (201, kept)
    path = f"/v1/files/{answer.json()['id']}"
    changed = await client.patch(path, json={"metadata": kept | {"c": 1}}, headers=user.headers)
    assert changed.json()["metadata"] == kept | {"c": 1}


async def test_tags_that_look_the_same_are_one_tag(client, user, upload):
    file = await upload(user, tags=["cafe\u0301", "caf\u00e9"])
    assert file["tags"] == ["caf\u00e9"]
    for tag in ("cafe\u0301", "caf\u00e9"):
        found = (await client.get("/v1/files", params={"tag": tag}, headers=user.headers)).json()["data"]
        assert [each["id"] for each in found] == [file["id"]]
