"""Deletion and reconciliation: unreferenced bytes, old trash, interrupted uploads, abandoned processing."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

from shared.clock import Clock
from tests.domains.files.http_helpers import MANUAL, MIB, PHOTO, get, usage_of


async def test_equal_bytes_are_kept_until_the_last_file_is_gone(
    client, user, other, upload, stored, work_off, composition
):
    data = b"shared " + uuid4().bytes.hex().encode()
    await work_off()
    before = stored()
    mine, theirs = await upload(user, data), await upload(other, data)
    await work_off()
    assert len(stored() - before) == 1
    await composition.files.cleaning().delete(mine["id"])
    await work_off()
    assert await usage_of(client, user) == (0, 0, 0)
    assert (await get(client, other, f"/v1/files/{theirs['id']}/content")).content == data
    await composition.files.cleaning().delete(theirs["id"])
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

    async def interrupted() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.sleep(60)

    request = asyncio.ensure_future(client.post("/v1/files", content=interrupted(), headers=user.headers))
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


async def test_the_sweep_reconciles_a_file_whose_work_was_cancelled(
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
    await asyncio.gather(*(cleaning.delete(file["id"]) for file in files), upload(user, data))
    await work_off()
    assert len(stored() - before) == 1
    assert await usage_of(client, user) == (len(data), 0, 1)
    assert await usage_of(client, other) == (0, 0, 0)
