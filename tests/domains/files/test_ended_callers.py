"""Nothing is stored for a deleted or disabled account, or for a session that has ended meanwhile."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.ids import new_id
from tests.domains.files.fakes import FakeContext

PHOTO = Path(__file__).parents[2] / "data" / "astronaut.jpg"
_FORM = (
    b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n',
    b"bytes that only this upload has: ",
    b'\r\n--limit\r\nContent-Disposition: form-data; name="tags"\r\n\r\nla',
    b"te\r\n--limit--\r\n",
)


class _PausedUpload:
    """A form whose last bytes come when `proceed` is set, after the whole file and a part of a field."""

    def __init__(self, unique):
        self.unique = unique
        self.waits, self.proceed = asyncio.Event(), asyncio.Event()

    async def body(self):
        for number, piece in enumerate(_FORM[:-1]):
            yield piece + (self.unique if number == 1 else b"")
        self.waits.set()
        await self.proceed.wait()
        yield _FORM[-1]


@asynccontextmanager
async def _paused(client, person, *, keyed=False):
    """Start an upload, and let it end when the block does."""
    paused = _PausedUpload(new_id().hex.encode())
    headers = {**person.headers, "Content-Type": "multipart/form-data; boundary=limit"}
    headers |= {"Idempotency-Key": new_id().hex} if keyed else {}
    sending = asyncio.create_task(client.post("/v1/files", content=paused.body(), headers=headers))
    await asyncio.wait_for(paused.waits.wait(), 10)
    await asyncio.sleep(0.05)
    yield sending
    paused.proceed.set()
    await sending


async def _delete(client, admin, person):
    body = {"password": person.password}
    return await client.request("DELETE", "/v1/users/me", json=body, headers=person.headers)


async def _log_out(client, admin, person):
    return await client.post("/v1/auth/logout?scope=all", headers=person.headers)


async def _disable(client, admin, person):
    return await client.post(f"/v1/users/{person.id}/disable", headers=admin.headers)


async def _revoke(client, admin, person):
    return await client.delete(f"/v1/auth/sessions/{person.session_id}", headers=person.headers)


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "with_a_key"])
@pytest.mark.parametrize("end", [_delete, _log_out, _disable, _revoke])
async def test_an_upload_that_outlives_its_caller_leaves_nothing(
    end, keyed, client, admin, user, rows, work_off, stored
):
    await work_off()
    before = stored()
    async with _paused(client, user, keyed=keyed) as sending:
        assert (await end(client, admin, user)).status_code == 204
        await work_off()
    answer = sending.result()
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.session_ended")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    await work_off()
    assert stored() == before
    for table in ("files.files", "files.texts", "jobs.jobs", "emails.emails"):
        where = "owner_id = $1" if table != "emails.emails" else "owner_id = $1 AND template LIKE 'files%'"
        assert await rows(f"SELECT 1 FROM {table} WHERE {where}", user.id) == [], table
    left = await rows("SELECT bytes, reserved, count FROM files.usage WHERE owner_id = $1", user.id)
    assert all((row["bytes"], row["reserved"], row["count"]) == (0, 0, 0) for row in left)
    if end is _delete:
        assert left == []


async def test_an_upload_whose_session_is_refreshed_meanwhile_is_kept(client, user):
    async with _paused(client, user) as sending:
        form = {"grant_type": "refresh_token", "refresh_token": user.refresh_token}
        assert (await client.post("/v1/auth/token", data=form)).status_code == 200
    assert sending.result().status_code == 201
    assert sending.result().json()["tags"] == ["late"]


async def test_the_result_of_a_job_is_not_kept_for_an_owner_who_was_erased_meanwhile(
    client, user, upload, composition, rows, work_off, monkeypatch
):
    files = composition.files.processing()
    make = files._make_all

    async def erased_meanwhile(*arguments):
        made = await make(*arguments)
        await _delete(client, None, user)
        await composition.auth.accounts().purge(user.id, FakeContext())
        return made

    monkeypatch.setattr(files, "_make_all", erased_meanwhile)
    photo = PHOTO.read_bytes()
    file = await upload(user, photo, "astronaut.jpg")
    job_id = file["jobs"][0]["id"]
    await work_off()
    (job,) = await rows("SELECT owner_id, result FROM jobs.jobs WHERE id = $1", job_id)
    assert (job["owner_id"], job["result"]) == (None, None)
    assert await rows("SELECT 1 FROM files.files WHERE owner_id = $1", user.id) == []


async def test_an_erasure_waits_for_the_end_of_an_upload_and_finds_all_of_it(
    client, user, upload, composition, rows, work_off, stored, monkeypatch
):
    await upload(user, b"bytes that two files have")
    storage, holds_blob, proceed = composition.files.storage(), asyncio.Event(), asyncio.Event()
    add_blob_copy = storage.add_blob_copy

    async def kept_slowly(*arguments):
        is_new = await add_blob_copy(*arguments)
        holds_blob.set()
        await proceed.wait()
        return is_new

    async def erase():
        await _delete(client, None, user)
        await work_off()

    monkeypatch.setattr(storage, "add_blob_copy", kept_slowly)
    uploading = asyncio.create_task(upload(user, b"bytes that two files have"))
    await asyncio.wait_for(holds_blob.wait(), 10)
    erasing = asyncio.create_task(erase())
    await _until_somebody_waits_for_a_lock(rows)
    proceed.set()
    await asyncio.gather(uploading, erasing)
    await work_off()
    for table in ("files.files", "files.usage", "files.texts"):
        assert await rows(f"SELECT 1 FROM {table} WHERE owner_id = $1", user.id) == [], table
    assert not [path for path in stored() if path.read_bytes() == b"bytes that two files have"]


async def _until_somebody_waits_for_a_lock(rows):
    async with asyncio.timeout(10):
        while not await rows(
            "SELECT 1 FROM pg_locks WHERE NOT granted AND database IN"
            " (0, (SELECT oid FROM pg_database WHERE datname = current_database()))"
            " UNION ALL SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        ):
            await asyncio.sleep(0.02)
