"""A backup is complete, a damaged one is refused, and a restored installation works."""

import asyncio
import gzip
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.restoring import restore
from bootstrap.backup.saving import save
from bootstrap.backup.verifying import verify
from bootstrap.migrations.runner import migrate
from shared.jobs import Snooze
from tests.forked_commands import run_command
from tests.installations import Installation, isolated_settings, running
from tests.mails import mails_to

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
async def source(settings, servers, tmp_path):
    """An installation with people, files, waiting jobs and waiting mails."""
    own = await isolated_settings(settings, servers.superuser_url, tmp_path / "source")
    await asyncio.to_thread(migrate, own)
    return own


@pytest.fixture
async def target(settings, servers, tmp_path):
    """Settings of an empty database and an empty store."""
    return await isolated_settings(settings, servers.superuser_url, tmp_path / "target")


async def upload(installation: Installation, person, name: str, content: bytes, type_: str) -> dict:
    answer = await installation.client.post(
        "/v1/files", files={"file": (name, content, type_)}, headers=person.headers
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def content_of(installation: Installation, person, file_id: str) -> bytes:
    answer = await installation.client.get(f"/v1/files/{file_id}/content", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_what_was_backed_up_works_elsewhere(source, target, tmp_path, servers) -> None:
    picture, document = [(DATA / name).read_bytes() for name in ("astronaut.jpg", "bzip2-manual.pdf")]
    async with running(source) as first:
        person = await first.people.register()
        await first.work_off()
        finished = await upload(first, person, "done.jpg", picture, "image/jpeg")
        await first.work_off()
        waiting = await upload(first, person, "waiting.pdf", document, "application/pdf")
        newcomer = await first.people.register()  # whose mail is a job that nobody has run
        await save(source, str(tmp_path / "backup"), with_files=True)

    restored = await restore(target, str(tmp_path / "backup"), replace=False)
    assert restored.warnings == []

    async with running(target) as second:
        old_session = await second.client.get("/v1/users/me", headers=person.headers)
        assert old_session.status_code == 401
        again = await second.people.sign_in(person.email, person.password)
        assert again.id == person.id
        assert await content_of(second, again, finished["id"]) == picture
        assert await content_of(second, again, waiting["id"]) == document
        thumb = await second.client.get(f"/v1/files/{finished['id']}/renditions/thumb", headers=again.headers)
        assert thumb.status_code == 200
        assert not mails_to(servers.mails, newcomer.email)
        await second.work_off()
        assert mails_to(servers.mails, newcomer.email)
        file = await second.client.get(f"/v1/files/{waiting['id']}", headers=again.headers)
        assert file.json()["status"] == "ready"
        found = await second.client.get("/v1/files?q=bzip2", headers=again.headers)
        assert [file["id"] for file in found.json()["data"]] == [waiting["id"]]


async def test_a_job_that_ran_starts_again_with_no_attempt_burnt(source, target, tmp_path) -> None:
    async with running(source) as first:
        person = await first.people.register()
        await upload(first, person, "a.jpg", (DATA / "astronaut.jpg").read_bytes(), "image/jpeg")
        claimed = await first.container.jobs.runner().claim_next("files")
        assert claimed is not None
        await save(source, str(tmp_path / "backup"), with_files=True)
    restored = await restore(target, str(tmp_path / "backup"), replace=False)
    assert "1 jobs that were running start again" in restored.done
    connection = await asyncpg.connect(target.database_url.get_secret_value())
    row = await connection.fetchrow("SELECT state, attempt, lease_token FROM jobs.jobs WHERE queue = 'files'")
    await connection.close()
    assert tuple(row) == ("queued", 0, None)


async def test_objects_stay_as_long_as_a_backup_copies_them(source, tmp_path) -> None:
    async with running(source) as first:
        person = await first.people.register()
        file = await upload(first, person, "a.txt", b"gone soon", "text/plain")
        cleaning = first.container.files.cleaning()
        (key,) = [row["storage_key"] for row in await rows_of(source, "SELECT storage_key FROM files.blobs")]
        holder = await asyncpg.connect(source.database_owner_url.get_secret_value())
        await holder.execute("SELECT pg_advisory_lock(7483921)")
        with pytest.raises(Snooze):
            await cleaning.erase([key], None)
        assert await content_of(first, person, file["id"]) == b"gone soon"
        with pytest.raises(BackupRefused, match="Another backup is running"):
            await save(source, str(tmp_path / "backup"), with_files=True)
        await holder.close()
        await first.container.files.service().trash(file["id"], person.id)
        await cleaning.delete(file["id"])
        await first.work_off()
        assert not (source.data_dir / "files" / key).exists()


async def rows_of(settings, sql: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(settings.database_owner_url.get_secret_value())
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


@pytest.fixture
async def backup(source, tmp_path) -> Path:
    """A backup with one file."""
    async with running(source) as first:
        await upload(first, await first.people.register(), "a.txt", b"bytes of a file", "text/plain")
    await save(source, str(tmp_path / "backup"), with_files=True)
    return tmp_path / "backup"


async def test_a_full_database_is_only_replaced_when_asked(source, backup) -> None:
    with pytest.raises(BackupRefused, match="--replace"):
        await restore(source, str(backup), replace=False)
    assert await rows_of(source, "SELECT FROM users.users")
    await restore(source, str(backup), replace=True)
    assert len(await rows_of(source, "SELECT FROM users.users")) == 1


async def test_nothing_is_restored_under_a_running_program(source, backup) -> None:
    async with running(source) as first:
        await first.client.get("/health/ready")  # the pools connect when they are first used
        with pytest.raises(BackupRefused, match="Stop all of them first"):
            await restore(source, str(backup), replace=True)


async def test_a_backup_without_a_manifest_is_none(target, backup) -> None:
    (backup / "manifest.json").unlink()
    with pytest.raises(BackupRefused, match="never completed"):
        await restore(target, str(backup), replace=False)
    with pytest.raises(BackupRefused, match="a place of its own"):
        await save(target, str(backup), with_files=True)


async def test_a_backup_of_a_newer_version_is_refused(target, backup) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps(manifest | {"revision": "feedfeedfeed"}))
    with pytest.raises(BackupRefused, match="another version"):
        await restore(target, str(backup), replace=False)


async def test_a_flipped_byte_of_a_table_is_found_before_anything_changes(source, backup) -> None:
    table = backup / "database" / "users.users.copy.gz"
    packed = gzip.decompress(table.read_bytes())
    table.write_bytes(gzip.compress(packed.replace(b"@example.com", b"@examples.co")))
    with pytest.raises(BackupRefused, match="damaged"):
        await restore(source, str(backup), replace=True)
    assert await rows_of(source, "SELECT FROM users.users")


async def test_a_flipped_byte_of_a_file_is_found_before_anything_changes(source, target, backup) -> None:
    assert (await verify(target, str(backup))).manifest.files.count >= 1
    (blob,) = (backup / "files" / "blobs").iterdir()
    blob.write_bytes(b"bytes of 4 file")
    for attempt in (verify(target, str(backup)), restore(source, str(backup), replace=True)):
        with pytest.raises(BackupRefused, match=r"other bytes than were stored\. Nothing was changed"):
            await attempt
    assert await rows_of(source, "SELECT FROM users.users")
    blob.write_bytes(b"bytes of a file")
    await restore(target, str(backup), replace=False)
    assert await rows_of(target, "SELECT FROM users.users")


def forge(backup: Path, change: Callable[[dict], object]) -> None:
    """Change the manifest as somebody would who can write to the place of a backup."""
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    changed = change(manifest)
    path.write_text(json.dumps(manifest if changed is None else changed))


def rehashed(manifest: dict, name: str, packed: Path) -> None:
    """Give a table the digest of what it has now."""
    (table,) = (table for table in manifest["tables"] if f"{table['schema_name']}.{table['name']}" == name)
    content = packed.read_bytes()
    table |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


async def test_nothing_is_left_of_a_restore_that_postgresql_refused(source, target, backup) -> None:
    table = backup / "database" / "users.users.copy.gz"
    rows = gzip.decompress(table.read_bytes())
    table.write_bytes(gzip.compress(re.sub(rb"(?m)^[0-9a-f-]{36}\t", b"no id\t", rows)))
    forge(backup, lambda manifest: rehashed(manifest, "users.users", table))
    for settings in (source, target):
        with pytest.raises(BackupRefused, match=r"refused the rows: .* Nothing was changed"):
            await restore(settings, str(backup), replace=True)
    assert await rows_of(source, "SELECT FROM users.users")
    with pytest.raises(asyncpg.UndefinedTableError):
        await rows_of(target, "SELECT FROM users.users")


async def test_an_object_that_the_store_has_lost_is_named(source, tmp_path) -> None:
    async with running(source) as first:
        await upload(first, await first.people.register(), "a.txt", b"lost", "text/plain")
    (blob,) = (source.data_dir / "files" / "blobs").iterdir()
    blob.write_bytes(b"toss")
    manifest = await save(source, str(tmp_path / "backup"), with_files=True)
    assert manifest.files.absent == [f"blobs/{blob.name}"]
    assert (manifest.files.count, manifest.files.bytes) == (0, 0)


def run_tulou(settings, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    url = settings.database_owner_url.get_secret_value()
    own = {"TULOU_DATA_DIR": str(settings.data_dir), "TULOU_DATABASE_OWNER_URL": url}
    return run_command(*arguments, environment={**os.environ, **own, **environment})


async def test_a_backup_that_is_told_no_place_gets_a_folder_of_its_own(source, tmp_path) -> None:
    async with running(source) as first:
        await upload(first, await first.people.register(), "a.txt", b"bytes of a file", "text/plain")
    nowhere = await asyncio.to_thread(run_tulou, source, "backup")
    assert nowhere.returncode == 1
    assert nowhere.stderr.strip() == "Name a place for the backup, or set TULOU_BACKUP_PLACE."
    backups = tmp_path / "backups"
    taken = await asyncio.to_thread(run_tulou, source, "backup", TULOU_BACKUP_PLACE=f"{backups}/")
    assert taken.returncode == 0, taken.stderr
    (folder,) = backups.iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}Z", folder.name)
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.rglob("*"))} == {0}
    assert f"Backed up to {folder}: " in taken.stdout
    whole = await asyncio.to_thread(run_tulou, source, "restore", str(folder), "--check")
    assert whole.returncode == 0, whole.stderr
    assert "1 objects" in whole.stdout


async def test_as_many_backups_are_kept_as_the_settings_say(source, tmp_path) -> None:
    backups = tmp_path / "backups"
    older = [backups / f"2026-01-0{day}T031700Z" for day in (1, 2, 3, 4)]
    for folder in [*older, backups / "before-the-move"]:
        (folder / "files").mkdir(parents=True)
        (folder / "files" / "a").write_bytes(b"bytes")
    for folder in older[:3]:
        (folder / "manifest.json").write_text("{}")
    elsewhere = await asyncio.to_thread(
        run_tulou,
        source,
        "backup",
        str(tmp_path / "aside"),
        TULOU_BACKUP_PLACE=str(backups),
        TULOU_BACKUP_KEEP="2",
    )
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert all(folder.exists() for folder in older)
    taken = await asyncio.to_thread(
        run_tulou, source, "backup", TULOU_BACKUP_PLACE=str(backups), TULOU_BACKUP_KEEP="2"
    )
    assert taken.returncode == 0, taken.stderr
    assert "Deleted 2026-01-01T031700Z: 2 newer ones are kept.\nDeleted 2026-01-02T031700Z:" in taken.stdout
    assert "Deleted 2026-01-04T031700Z: it was interrupted." in taken.stdout
    left = sorted(folder.name for folder in backups.iterdir())
    assert left[0] == "2026-01-03T031700Z"
    assert left[2:] == ["before-the-move"]


async def test_a_backup_that_lacks_a_file_takes_no_older_ones_place(source, tmp_path) -> None:
    async with running(source) as first:
        await upload(first, await first.people.register(), "a.txt", b"bytes of a file", "text/plain")
    older = tmp_path / "backups" / "2026-01-01T031700Z"
    older.mkdir(parents=True)
    (older / "manifest.json").write_text("{}")
    for place in (source.data_dir / "files").rglob("*"):
        if place.is_file():
            place.unlink()
    taken = await asyncio.to_thread(
        run_tulou, source, "backup", TULOU_BACKUP_PLACE=str(older.parent), TULOU_BACKUP_KEEP="1"
    )
    assert taken.returncode == 3
    assert older.exists()


async def test_a_place_that_nobody_may_write_to_is_one_clear_sentence(source) -> None:
    result = await asyncio.to_thread(run_tulou, source, "backup", "/proc/backups")
    assert result.returncode == 1
    assert result.stderr.strip() == "/proc/backups can't be reached or written to."
