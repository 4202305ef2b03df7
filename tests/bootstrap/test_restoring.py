"""A restore changes nothing until one final step puts all of it in place, even if it is interrupted."""

import asyncio
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from bootstrap.backup import loading, restoring
from bootstrap.backup.errors import BackupRefused, Uncertain
from bootstrap.backup.exclusive import RESTORING, database_name
from bootstrap.backup.leftovers import note_of
from bootstrap.backup.restoring import restore
from bootstrap.backup.saving import save
from bootstrap.cli import backups as commands
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from tests.bootstrap.test_backup import content_of, rows_of, run_tulou, upload
from tests.installations import isolated_settings, running
from tools.faults.people import Person

BYTES = b"bytes of a file that the backup has"
LATER = b"bytes of a file of after the backup"


class Deployment:
    """An installation that went on after its backup was taken: the backup has one person, the database two."""

    def __init__(self, settings: Settings, backup: Path, first: Person, second: Person) -> None:
        self.settings = settings
        self.backup = backup
        self.first = first
        self.second = second

    async def fingerprint(self) -> tuple[Any, ...]:
        """Return what tells whether anything has changed, in the database or in the store."""
        users = await rows_of(self.settings, "SELECT id FROM users.users ORDER BY id")
        accounts = await rows_of(self.settings, "SELECT user_id FROM auth.accounts ORDER BY 1")
        files = await rows_of(self.settings, "SELECT id, status FROM files.files ORDER BY id")
        version = await rows_of(self.settings, "SELECT version_num FROM alembic_version")
        schemas = await rows_of(self.settings, "SELECT nspname FROM pg_namespace ORDER BY 1")
        rows = [[tuple(row) for row in table] for table in (users, accounts, files, version, schemas)]
        return *rows, self.objects()

    def objects(self) -> dict[str, bytes]:
        """Return all objects of the store."""
        folder = self.settings.data_dir / "files"
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }


@pytest.fixture
async def deployment(settings, servers, tmp_path) -> Deployment:
    own = await isolated_settings(settings, servers.superuser_url, tmp_path / "deployment")
    await asyncio.to_thread(migrate, own)
    async with running(own) as installation:
        first = await installation.people.register()
        file = await upload(installation, first, "first.txt", BYTES, "text/plain")
        await installation.work_off()
        await save(own, str(tmp_path / "backup"), with_files=True)
        second = await installation.people.register()
        await upload(installation, second, "second.txt", LATER, "text/plain")
        await installation.client.delete(f"/v1/files/{file['id']}", headers=first.headers)
        await installation.container.files.cleaning().delete(file["id"])
        await installation.work_off()
    return Deployment(own, tmp_path / "backup", first, second)


async def is_back(deployment: Deployment) -> None:
    """See that the backup is in place, and serves."""
    async with running(deployment.settings) as installation:
        again = await installation.people.sign_in(deployment.first.email, deployment.first.password)
        (file,) = (await installation.client.get("/v1/files", headers=again.headers)).json()["data"]
        assert await content_of(installation, again, file["id"]) == BYTES
        form = {
            "grant_type": "password",
            "username": deployment.second.email,
            "password": deployment.second.password,
        }
        assert (await installation.client.post("/v1/auth/token", data=form)).status_code == 400
    assert not any(key.startswith("restoring") for key in deployment.objects())
    asked = (
        "SELECT details FROM auth.security_events WHERE event = 'database_restored' ORDER BY id DESC LIMIT 1"
    )
    (told,) = await rows_of(deployment.settings, asked)
    details = json.loads(told["details"])
    manifest = json.loads((deployment.backup / "manifest.json").read_text())
    assert datetime.fromisoformat(details["taken_at"]) == datetime.fromisoformat(manifest["taken_at"])
    assert "@" in details["operator"]


STEPS = ["_migrate", "_load", "_add_objects"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_whatever_fails_leaves_everything_as_it_was(
    deployment, monkeypatch, step: str, when: str
) -> None:
    before = await deployment.fingerprint()
    real = getattr(loading.Loading, step)

    async def failing(self: loading.Loading, *arguments: Any, **named: Any) -> None:
        if when == "after":
            await real(self, *arguments, **named)
        raise BackupRefused("Something failed.")

    monkeypatch.setattr(loading.Loading, step, failing)
    with pytest.raises(BackupRefused, match="Something failed"):
        await restore(deployment.settings, str(deployment.backup), replace=True)
    assert await deployment.fingerprint() == before
    monkeypatch.undo()
    await restore(deployment.settings, str(deployment.backup), replace=True)
    await is_back(deployment)


def tulou(
    deployment: Deployment, *arguments: str, terminal: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start `tulou` in this deployment."""
    url = deployment.settings.database_owner_url.get_secret_value()
    application = deployment.settings.database_url.get_secret_value()
    environment = {
        **os.environ,
        "TULOU_DATA_DIR": str(deployment.settings.data_dir),
        "TULOU_DATABASE_OWNER_URL": url,
        "DATABASE_URL": application,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "bootstrap.cli.main", *arguments],
        env=environment,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def replacing(deployment: Deployment) -> list[str]:
    return ["restore", str(deployment.backup), "--replace", "--confirm", database_name(deployment.settings)]


async def test_a_restore_that_is_killed_at_any_moment_has_changed_nothing(deployment) -> None:
    before = (await deployment.fingerprint())[:-1]
    kept = deployment.objects()
    for said in ("", "Verified", "Loaded", "Added"):
        program = tulou(deployment, *replacing(deployment))
        await asyncio.to_thread(wait_for, program, said)
        await asyncio.sleep(random.random() * (2 if not said else 0.05))
        program.kill()
        program.communicate()
        await everybody_gone(deployment)
        if (await rows_of(deployment.settings, "SELECT count(*) FROM users.users"))[0][0] == 1:
            break  # it was quicker than the signal: all of it is in place
        assert (await deployment.fingerprint())[:-1] == before
        assert {key: deployment.objects()[key] for key in kept} == kept
    last = tulou(deployment, *replacing(deployment))
    said, complaints = await asyncio.to_thread(last.communicate)
    assert last.returncode == 0, complaints
    assert "Restored from" in said
    await is_back(deployment)


def wait_for(program: subprocess.Popen[str], said: str) -> None:
    """Read what a program says, up to a word."""
    while said and said not in (line := program.stdout.readline()):
        assert line, program.stderr.read()


async def everybody_gone(deployment: Deployment) -> None:
    """Wait until PostgreSQL has noticed that a client is gone."""
    until = time.monotonic() + 30
    connections = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    while await rows_of(deployment.settings, f"{connections} AND application_name LIKE 'tulou%'"):
        assert time.monotonic() < until
        await asyncio.sleep(0.05)


async def test_objects_that_an_interrupted_restore_has_added_are_deleted_by_the_next(deployment) -> None:
    blobs = deployment.settings.data_dir / "files" / "blobs"
    (named,) = deployment.objects()
    (blobs / "added").write_bytes(b"added by a restore that was killed")
    (blobs / "half#1").write_bytes(b"half of")
    connection = await asyncpg.connect(deployment.settings.database_owner_url.get_secret_value())
    note = deployment.settings.data_dir / "files" / await note_of(connection)
    await connection.close()
    note.parent.mkdir()
    of_another = note.with_name("1-2.jsonl")
    of_another.write_text(json.dumps(named))
    note.write_text(
        "".join(f"{json.dumps(key)}\n" for key in ("blobs/added", "blobs/half", named, "blobs/never"))
    )
    said: list[str] = []
    with pytest.raises(BackupRefused, match="no manifest"):
        await restore(deployment.settings, str(deployment.settings.data_dir), replace=True, say=said.append)
    damaged(deployment)
    with pytest.raises(BackupRefused, match="damaged"):
        await restore(deployment.settings, str(deployment.backup), replace=True, say=said.append)
    assert said == ["Deleted 1 objects that an interrupted restore had added."]
    assert sorted(deployment.objects()) == [named, f"restoring/{of_another.name}"]
    assert not (blobs / "half#1").exists()


def damaged(deployment: Deployment) -> Path:
    (blob,) = (deployment.backup / "files" / "blobs").iterdir()
    blob.write_bytes(BYTES[::-1])
    return blob


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interruption_is_one_sentence_and_an_exit_code(deployment, number: int) -> None:
    before = await deployment.fingerprint()
    program = tulou(deployment, *replacing(deployment))
    await asyncio.to_thread(wait_for, program, "Verified")
    program.send_signal(number)
    _, complaints = await asyncio.to_thread(program.communicate)
    assert program.returncode == 128 + number
    assert complaints.splitlines()[-1] == "Interrupted. Nothing was changed."
    assert "Traceback" not in complaints
    assert await deployment.fingerprint() == before


@pytest.mark.parametrize("step", ["stop", "forget"])
async def test_an_interruption_after_the_commit_comes_too_late(deployment, monkeypatch, step: str) -> None:
    module = loading if step == "stop" else restoring
    real = getattr(module, step)

    async def interrupted(*arguments: Any) -> None:
        if step == "stop":
            await real(*arguments)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    monkeypatch.setattr(module, step, interrupted)
    restored = await restore(deployment.settings, str(deployment.backup), replace=True)
    monkeypatch.undo()
    assert restored.lost.tables == restored.lost.objects == []
    if step == "forget":  # what the next restore does
        (note,) = (deployment.settings.data_dir / "files" / "restoring").iterdir()
        note.unlink()
    await is_back(deployment)


def test_a_commit_that_is_cut_off_has_an_exit_code_of_its_own(settings, monkeypatch, capsys) -> None:
    async def cut_off(*_: object, **__: object) -> None:
        raise Uncertain

    monkeypatch.setattr(commands, "restore", cut_off)
    with pytest.raises(SystemExit) as ended:
        commands.restore_backup(settings, "/nowhere", commands.RestoreOptions())
    assert ended.value.code == 4
    assert "Run `tulou restore` again" in capsys.readouterr().err


async def test_the_second_of_two_who_restore_gets_one_sentence(deployment) -> None:
    before = await deployment.fingerprint()
    holder = await asyncpg.connect(deployment.settings.database_owner_url.get_secret_value())
    await holder.execute(f"SELECT pg_advisory_lock({RESTORING})")
    result = await asyncio.to_thread(run_tulou, deployment.settings, *replacing(deployment))
    assert result.returncode == 1
    assert (
        result.stderr
        == "Another restore is running on this database. Wait until it ends. Nothing was changed.\n"
    )
    await holder.close()
    assert await deployment.fingerprint() == before


async def test_a_lock_of_another_session_is_named(deployment, monkeypatch) -> None:
    before = await deployment.fingerprint()
    monkeypatch.setattr(loading, "_SESSION", loading._SESSION.replace("60s", "100ms"))  # the time
    other = await asyncpg.connect(deployment.settings.database_owner_url.get_secret_value())
    await other.execute("BEGIN")
    real = loading._rename_schemas  # the first step

    async def locked_out(driver: Any) -> list[str]:
        await other.execute("LOCK TABLE users.users IN ACCESS EXCLUSIVE MODE")
        await driver.execute("LOCK TABLE users.users")
        return await real(driver)

    monkeypatch.setattr(loading, "_rename_schemas", locked_out)
    with pytest.raises(BackupRefused, match=r"Another session holds a lock on this database: .*lock timeout"):
        await restore(deployment.settings, str(deployment.backup), replace=True)
    await other.close()
    assert await deployment.fingerprint() == before


async def test_replacing_a_database_needs_its_name(deployment) -> None:
    before = await deployment.fingerprint()
    name = database_name(deployment.settings)
    for arguments, sentence in {
        (): "--replace deletes what the database has. Name the database: --confirm NAME",
        ("--confirm", "tulou"): f"The database is not tulou, but {name}. Nothing was changed.",
    }.items():
        result = await asyncio.to_thread(
            run_tulou, deployment.settings, "restore", str(deployment.backup), "--replace", *arguments
        )
        assert result.returncode == 1
        assert result.stderr.startswith(sentence)
    assert await deployment.fingerprint() == before
    done = await asyncio.to_thread(run_tulou, deployment.settings, *replacing(deployment))
    assert done.returncode == 0, done.stderr
    await is_back(deployment)


async def test_an_older_backup_is_brought_up_to_date_in_the_same_step(
    settings, servers, tmp_path, deployment
) -> None:
    old = await isolated_settings(settings, servers.superuser_url, tmp_path / "old")
    await asyncio.to_thread(migrate, old, revision="b1f0c7d24e6a", grants=False)
    await rows_of(
        old,
        "INSERT INTO files.files"
        " (id, owner_id, name, size, reserved, revision, status, upload_key, facts, client_metadata, tags)"
        " SELECT gen_random_uuid(), gen_random_uuid(), 'old', 0, 0, 1, 'uploading', 'blobs/x', '{}', '{}',"
        " ARRAY[U&'e\\0301'] FROM generate_series(1, 1200)",
    )
    await save(old, str(tmp_path / "old-backup"), with_files=True)
    await restore(deployment.settings, str(tmp_path / "old-backup"), replace=True)
    (tags,) = await rows_of(
        deployment.settings, "SELECT count(*) FROM files.files WHERE tags[1] = U&'\\00e9'"
    )
    assert tags[0] == 1200
    (version,) = await rows_of(deployment.settings, "SELECT version_num FROM alembic_version")
    assert version[0] != "b1f0c7d24e6a"
    invalid = await rows_of(deployment.settings, "SELECT FROM pg_index WHERE NOT indisvalid")
    assert invalid == []


async def test_a_path_that_does_not_exist_is_not_made(deployment, tmp_path) -> None:
    for arguments in (["--check"], ["--replace", "--confirm", database_name(deployment.settings)]):
        result = await asyncio.to_thread(
            run_tulou, deployment.settings, "restore", str(tmp_path / "no" / "where"), *arguments
        )
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert "can't be read" in result.stderr
    assert not (tmp_path / "no").exists()


async def test_a_disk_without_room_is_named_before_anything_changes(deployment, monkeypatch) -> None:
    before = await deployment.fingerprint()
    monkeypatch.setattr("bootstrap.backup.disk_space.free_of", lambda _folder: 10)
    with pytest.raises(BackupRefused) as refused:
        await restore(deployment.settings, str(deployment.backup), replace=True)
    files = deployment.settings.data_dir / "files"
    assert str(refused.value) == (
        f"Too little space for the files: the disk of {files} has 10 bytes free, and about {len(BYTES)} bytes are"
        f" needed: {len(BYTES) - 10} bytes are missing. Nothing was changed."
    )
    assert await deployment.fingerprint() == before


async def test_ten_thousand_objects_are_verified_before_the_first_change(deployment, monkeypatch) -> None:
    blob = deployment.backup / "files" / "blobs"
    lines = []
    for number in range(10_000):
        key = f"blobs/many-{number:05}"
        (deployment.backup / "files" / key).write_bytes(BYTES)
        lines.append(json.dumps({"storage_key": key, "size": len(BYTES), "sha256": None}))
    digest = hashlib.sha256(BYTES).hexdigest()
    text = "".join(f"{line.replace('null', json.dumps(digest))}\n" for line in lines)
    (deployment.backup / "files.jsonl.gz").write_bytes(packed := gzip.compress(text.encode()))
    path = deployment.backup / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] |= {
        "count": 10_000,
        "bytes": 10_000 * len(BYTES),
        "listing": {"bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest()},
    }
    path.write_text(json.dumps(manifest))
    (blob / "many-09999").write_bytes(BYTES[::-1])
    before = await deployment.fingerprint()
    with pytest.raises(
        BackupRefused, match=r"many-09999 has other bytes than were stored\. Nothing was changed"
    ):
        await restore(deployment.settings, str(deployment.backup), replace=True)
    assert await deployment.fingerprint() == before


async def test_what_is_sound_of_a_damaged_backup_can_be_restored(deployment) -> None:
    async with running(deployment.settings) as installation:
        again = await installation.people.sign_in(deployment.first.email, deployment.first.password)
        await upload(installation, again, "sound.txt", b"sound", "text/plain")
        await installation.work_off()
    backup = deployment.backup.parent / "second"
    await save(deployment.settings, str(backup), with_files=True)
    for blob in (backup / "files" / "blobs").iterdir():
        if blob.read_bytes() == LATER:
            blob.write_bytes(LATER[::-1])
            (deployment.settings.data_dir / "files" / "blobs" / blob.name).unlink()
    (backup / "database" / "auth.security_events.copy.gz").write_bytes(b"torn")
    refused = await asyncio.to_thread(
        run_tulou,
        deployment.settings,
        "restore",
        str(backup),
        "--replace",
        "--confirm",
        database_name(deployment.settings),
    )
    assert (refused.returncode, "damaged" in refused.stderr) == (1, True)
    done = await asyncio.to_thread(
        run_tulou,
        deployment.settings,
        *("restore", str(backup), "--replace", "--skip-damaged"),
        *("--confirm", database_name(deployment.settings)),
    )
    assert done.returncode == 3, done.stderr
    assert "Not restored: auth.security_events" in done.stderr
    assert f"of {deployment.second.id} are damaged: it was removed." in done.stderr
    async with running(deployment.settings) as installation:
        first = await installation.people.sign_in(deployment.first.email, deployment.first.password)
        (file,) = (await installation.client.get("/v1/files", headers=first.headers)).json()["data"]
        assert await content_of(installation, first, file["id"]) == b"sound"
        second = await installation.people.sign_in(deployment.second.email, deployment.second.password)
        assert (await installation.client.get("/v1/files", headers=second.headers)).json()["data"] == []
        lost = await upload(installation, second, "again.txt", LATER, "text/plain")
        assert await content_of(installation, second, lost["id"]) == LATER


async def test_a_damaged_object_that_the_store_still_has_is_not_lost(deployment) -> None:
    (blob,) = (deployment.backup / "files" / "blobs").iterdir()
    shutil.copy(blob, deployment.settings.data_dir / "files" / "blobs" / blob.name)
    damaged(deployment)
    restored = await restore(deployment.settings, str(deployment.backup), replace=True, skip_damaged=True)
    assert restored.lost.objects == []
    await is_back(deployment)


async def test_a_damaged_list_of_objects_is_made_up_for_by_the_rows(deployment) -> None:
    (deployment.backup / "files.jsonl.gz").write_bytes(b"torn")
    restored = await restore(deployment.settings, str(deployment.backup), replace=True, skip_damaged=True)
    assert restored.lost.objects == []
    await is_back(deployment)


async def test_a_role_without_rights_is_refused_at_once(deployment) -> None:
    before = await deployment.fingerprint()
    application = deployment.settings.database_url
    helpless = deployment.settings.model_copy(update={"database_owner_url": application})
    with pytest.raises(BackupRefused, match="may not replace the schemas of this database"):
        await restore(helpless, str(deployment.backup), replace=True)
    url = urlsplit(application.get_secret_value())
    unknown = url._replace(netloc=url.netloc.replace(url.username or "", "nobody_known", 1)).geturl()
    stranger = deployment.settings.model_copy(update={"database_url": type(application)(unknown)})
    with pytest.raises(BackupRefused, match="PostgreSQL has no role nobody_known"):
        await restore(stranger, str(deployment.backup), replace=True)
    assert await deployment.fingerprint() == before


async def test_on_a_terminal_the_name_is_typed(deployment) -> None:
    before = await deployment.fingerprint()
    for typed, code in (("something", 1), (database_name(deployment.settings), 0)):
        ours, theirs = os.openpty()
        program = await asyncio.to_thread(
            tulou, deployment, "restore", str(deployment.backup), "--replace", terminal=theirs
        )
        os.write(ours, f"{typed}\n".encode())
        _, complaints = await asyncio.to_thread(program.communicate)
        assert program.returncode == code, complaints
        os.close(ours)
        os.close(theirs)
        if code:
            assert f"The database is not {typed}" in complaints
            assert await deployment.fingerprint() == before
    await is_back(deployment)
