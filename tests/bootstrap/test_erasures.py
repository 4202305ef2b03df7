"""An erased account stays erased when an older backup is restored."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from bootstrap.backup.restoring import restore
from bootstrap.backup.saving import save
from bootstrap.migrations.runner import migrate
from domains.files.errors import StoreUnavailable
from domains.files.gateway.erasures import FOLDER, ErasureRecords
from domains.files.gateway.store import ObjectFiles
from shared.clock import Clock
from tests.bootstrap.test_backup import rows_of, upload
from tests.installations import isolated_settings, running

PERSONAL = {
    "auth.accounts": "user_id",
    "auth.sessions": "user_id",
    "auth.one_time_tokens": "user_id",
    "users.users": "id",
    "files.files": "owner_id",
    "files.texts": "owner_id",
    "jobs.jobs": "owner_id",
}


@pytest.fixture
async def own(settings, servers, tmp_path):
    """Settings of an installation that is empty, and migrated."""
    own = await isolated_settings(settings, servers.superuser_url, tmp_path / "deployment")
    await asyncio.to_thread(migrate, own)
    return own


async def erase(installation, person) -> None:
    answer = await installation.client.request(
        "DELETE", "/v1/users/me", json={"password": person.password}, headers=person.headers
    )
    assert answer.status_code in {202, 204}, answer.text
    await installation.work_off()


async def test_who_was_erased_after_the_backup_is_gone_again(own, tmp_path, servers) -> None:
    async with running(own) as installation:
        erased, kept = await installation.people.register(), await installation.people.register()
        for person in (erased, kept):
            await upload(installation, person, "mine.txt", f"of {person.email}".encode(), "text/plain")
        await installation.work_off()
        mails = f"SELECT FROM emails.emails WHERE recipient = '{erased.email}'"
        assert await rows_of(own, mails)
        await save(own, str(tmp_path / "backup"), with_files=True)
        await erase(installation, erased)
    restored = await restore(own, str(tmp_path / "backup"), replace=True)
    assert any(line.startswith("1 accounts erased again") for line in restored.done)
    for table, column in PERSONAL.items():
        assert await rows_of(own, f"SELECT FROM {table} WHERE {column} = '{erased.id}'") == [], table
    assert await rows_of(own, mails) == []
    async with running(own) as installation:
        await installation.work_off()
        again = await installation.people.sign_in(kept.email, kept.password)
        files = (await installation.client.get("/v1/files", headers=again.headers)).json()["data"]
        assert [file["name"] for file in files] == ["mine.txt"]
        form = {"grant_type": "password", "username": erased.email, "password": erased.password}
        assert (await installation.client.post("/v1/auth/token", data=form)).status_code == 400
    blobs = [path.read_bytes() for path in (own.data_dir / "files" / "blobs").iterdir()]
    assert blobs == [f"of {kept.email}".encode()]


async def test_a_restore_can_be_done_again(own, tmp_path) -> None:
    async with running(own) as installation:
        person = await installation.people.register()
        await installation.work_off()
        await save(own, str(tmp_path / "backup"), with_files=True)
        await erase(installation, person)
    for _ in range(2):
        await restore(own, str(tmp_path / "backup"), replace=True)
        assert await rows_of(own, "SELECT FROM users.users") == []
    await save(own, str(tmp_path / "later"), with_files=True)
    restored = await restore(own, str(tmp_path / "later"), replace=True)
    assert any(line.startswith("0 accounts erased again") for line in restored.done)


async def test_nothing_is_erased_that_could_not_be_recorded(own, monkeypatch) -> None:
    async with running(own) as installation:
        person = await installation.people.register()
        await installation.work_off()
        records = installation.container.files.erasures()

        async def failing(_user_id) -> None:
            raise StoreUnavailable

        monkeypatch.setattr(records, "record", failing)
        await erase(installation, person)
        assert await rows_of(own, f"SELECT FROM users.users WHERE id = '{person.id}'")
        monkeypatch.undo()
        await rows_of(own, "UPDATE jobs.jobs SET run_at = now() WHERE kind = 'auth.purge_account'")
        await installation.work_off()
        assert await rows_of(own, f"SELECT FROM users.users WHERE id = '{person.id}'") == []


async def test_the_records_hold_ids_alone_and_are_deleted_when_no_backup_is_older(own) -> None:
    async with running(own) as installation:
        person = await installation.people.register()
        await installation.work_off()
        await erase(installation, person)
        folder = own.data_dir / "files" / FOLDER
        (day,) = folder.iterdir()
        (record,) = day.iterdir()
        assert record.name == str(person.id)
        assert record.read_text() == f"{day.name} {person.id}\n"
        old = folder / (datetime.now(UTC) - timedelta(days=401)).date().isoformat()
        recent = folder / (datetime.now(UTC) - timedelta(days=399)).date().isoformat()
        for each in (old, recent):
            each.mkdir()
            (each / str(uuid4())).write_text("")
        await installation.container.files.cleaning().prune_erasures()
        assert sorted(folder.iterdir()) == [recent, day]


async def test_what_else_is_there_is_no_record(own) -> None:
    store = ObjectFiles(own, own.data_dir)
    records = ErasureRecords(store, clock=Clock())
    someone = uuid4()
    await records.record(someone)
    await records.record(someone)
    folder = own.data_dir / "files" / FOLDER
    (folder / "notes").mkdir()
    (folder / "notes" / str(uuid4())).write_text("")
    (next(folder.glob("2*")) / "no-id").write_text("")
    assert [each async for each in records.since(datetime.now(UTC))] == [someone]
    assert [each async for each in records.since(datetime.now(UTC) + timedelta(days=3))] == []


async def test_a_backup_older_than_the_records_is_restored_with_a_warning(own, tmp_path) -> None:
    await save(own, str(tmp_path / "backup"), with_files=True)
    manifest = tmp_path / "backup" / "manifest.json"
    (line,) = [line for line in manifest.read_text().splitlines() if '"taken_at"' in line]
    manifest.write_text(manifest.read_text().replace(line, ' "taken_at": "2020-01-01T00:00:00Z",'))
    restored = await restore(own, str(tmp_path / "backup"), replace=True)
    (warning,) = restored.warnings
    assert warning.startswith("The backup is older than 400 days (TULOU_FILES_ERASURES_DAYS)")
