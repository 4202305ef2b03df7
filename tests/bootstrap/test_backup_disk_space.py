"""Full disks, missing stores and interrupted backups: the error is one sentence, and no data is lost."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from bootstrap.backup.archive import UNFINISHED
from bootstrap.backup.exclusive import database_name
from bootstrap.backup.manifest import NAME
from bootstrap.backup.retention import NAMES, identity_of
from bootstrap.backup.saving import save
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from tests.bootstrap.test_backup import rows_of, run_tulou
from tests.installations import isolated_settings

SMALL_DISK = """
mount -t tmpfs -o size="$SIZE" none "$DISK" && sh -c "$PREPARE" && "$@"
code=$?; ls -R "$DISK"; exit $code
"""
"""For `sh -c`: runs a command beside a small disk, then shows what is on it."""


def may_mount() -> bool:
    """Tell whether this process may have a small disk of its own, which nobody else sees."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_a_disk = pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")


@pytest.fixture
async def own(settings, servers, tmp_path) -> Settings:
    """Settings of an installation that is migrated."""
    made = await settings_of_its(settings, servers, tmp_path / "house")
    await asyncio.to_thread(migrate, made)
    return made


async def settings_of_its(settings, servers, folder: Path) -> Settings:
    return await isolated_settings(settings, servers.superuser_url, folder)


async def add_objects(own: Settings, contents: list[bytes]) -> None:
    """Put objects into the store, and rows that name them into the database."""
    folder = own.data_dir / "files" / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    connection = await asyncpg.connect(own.database_owner_url.get_secret_value())
    rows = []
    for number, content in enumerate(contents):
        (folder / f"object-{number}").write_bytes(content)
        rows.append((hashlib.sha256(content).hexdigest(), len(content), f"blobs/object-{number}"))
    await connection.executemany(
        "INSERT INTO files.blobs (sha256, size, storage_key, copies) VALUES ($1, $2, $3, 1)", rows
    )
    await connection.close()


def on_a_small_disk(
    own: Settings, disk: Path, size: str, *arguments: str, prepare: str = "true", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `tulou` where `disk` has so little space."""
    disk.mkdir(exist_ok=True)
    return subprocess.run(
        [
            "unshare",
            "--mount",
            "sh",
            "-c",
            SMALL_DISK,
            "sh",
            sys.executable,
            "-m",
            "bootstrap.cli.main",
            *arguments,
        ],
        env={
            **os.environ,
            "TULOU_DATA_DIR": str(own.data_dir),
            "TULOU_DATABASE_OWNER_URL": own.database_owner_url.get_secret_value(),
            "DATABASE_URL": own.database_url.get_secret_value(),
            "DISK": str(disk),
            "SIZE": size,
            "PREPARE": prepare,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@needs_a_disk
async def test_a_backup_that_has_no_room_is_refused_before_it_begins(own, tmp_path) -> None:
    await add_objects(own, [os.urandom(3 << 20)])
    disk = tmp_path / "disk"
    done = await asyncio.to_thread(on_a_small_disk, own, disk, "1m", "backup", str(disk / "today"))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Too little space for the backup: the disk of {disk}/today has 1.0 MiB free"
    )
    assert "are missing." in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout.strip() == f"{disk}:"


@needs_a_disk
async def test_a_disk_that_fills_up_during_a_backup_is_named_and_emptied(own, tmp_path) -> None:
    await add_objects(own, [f"small {number}".encode() for number in range(400)])  # a page of the disk each
    disk = tmp_path / "disk"
    done = await asyncio.to_thread(on_a_small_disk, own, disk, "1m", "backup", str(disk / "today"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"The disk of {disk}/today has no space left: about ")
    assert done.stderr.count("\n") == 1
    assert done.stdout.strip() == f"{disk}:"


@needs_a_disk
@pytest.mark.parametrize(("size", "sentence"), [("20k", "Too little space for"), ("1m", "The file store")])
async def test_a_store_that_has_no_room_is_named_and_nothing_is_changed(
    own, settings, servers, tmp_path, size: str, sentence: str
) -> None:
    await add_objects(own, [f"{number:100}".encode() for number in range(400)])
    await save(own, str(tmp_path / "backup"), with_files=True)
    other = await settings_of_its(settings, servers, tmp_path / "other")
    await asyncio.to_thread(migrate, other)
    disk = tmp_path / "disk"
    done = await asyncio.to_thread(
        on_a_small_disk,
        other,
        disk,
        size,
        *("restore", str(tmp_path / "backup"), "--replace", "--confirm", database_name(other)),
        TULOU_FILES_STORE_URL=f"file://{disk}",
    )
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert str(disk) in done.stderr
    assert done.stderr.endswith("Nothing was changed.\n")
    assert "object-" not in done.stdout
    assert await rows_of(other, "SELECT FROM files.blobs") == []


@needs_a_disk
async def test_old_backups_make_room_for_the_new_one_first(own, tmp_path) -> None:
    await add_objects(own, [os.urandom(3 << 20)])
    disk = tmp_path / "disk"
    prepare = """
        for name in 2026-01-01T031700Z 2026-01-02T031700Z; do
            mkdir "$DISK/$name" && echo "{}" > "$DISK/$name/manifest.json"
            dd if=/dev/zero of="$DISK/$name/files" bs=1M count=2 2>/dev/null
        done
    """
    kept = {"TULOU_BACKUP_PLACE": str(disk), "prepare": prepare}
    enough = await asyncio.to_thread(
        on_a_small_disk, own, disk, "7m", "backup", TULOU_BACKUP_KEEP="2", **kept
    )
    assert enough.returncode == 0, enough.stderr
    assert "Deleted 2026-01-01T031700Z: the new backup needs the space." in enough.stdout
    assert f"{disk}/2026-01-02T031700Z:" in enough.stdout
    too_little = await asyncio.to_thread(
        on_a_small_disk, own, disk, "5m", "backup", TULOU_BACKUP_KEEP="1", **kept
    )
    assert too_little.returncode == 1
    assert "Too little space for the backup" in too_little.stderr
    assert f"{disk}/2026-01-02T031700Z:" in too_little.stdout  # the last whole one
    assert f"{disk}/2026-01-01T031700Z:" not in too_little.stdout


async def test_a_store_that_is_gone_is_no_backup(own, tmp_path) -> None:
    await add_objects(own, [b"bytes"])
    shutil.rmtree(own.data_dir / "files")
    done = await asyncio.to_thread(run_tulou, own, "backup", str(tmp_path / "today"))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"The folder of the file store is missing: {own.data_dir}/files does not exist"
    )
    assert not (tmp_path / "today").exists()
    assert not (own.data_dir / "files").exists()


async def test_many_lost_objects_are_not_all_listed(own, tmp_path) -> None:
    await add_objects(own, [f"bytes {number}".encode() for number in range(30)])
    for path in (own.data_dir / "files" / "blobs").iterdir():
        path.unlink()
    done = await asyncio.to_thread(run_tulou, own, "backup", str(tmp_path / "today"))
    assert done.returncode == 3
    assert done.stderr.count("Not in the backup") == 20
    assert done.stderr.endswith("And 10 more: manifest.json lists them under `absent`.\n")


def interrupted_backup(backups: Path, name: str, *, of: str | None, more: str = "files/a") -> Path:
    folder = backups / name
    (folder / more).parent.mkdir(parents=True)
    (folder / more).write_bytes(b"bytes")
    if of is not None:
        (folder / UNFINISHED).write_text(json.dumps({"database": of}))
    return folder


async def test_only_interrupted_backups_of_this_database_are_deleted(own, tmp_path) -> None:
    identity = identity_of(own.database_owner_url.get_secret_value())
    backups, now = tmp_path / "backups", datetime.now(UTC).strftime(NAMES)
    ours = interrupted_backup(backups, "2026-01-01T000000Z", of=identity)
    unmarked = interrupted_backup(backups, "2026-01-02T000000Z", of=None)
    kept = [
        interrupted_backup(backups, "2026-01-03T000000Z", of="another database"),
        interrupted_backup(backups, "2026-01-04T000000Z", of=None, more="photos/a"),
        interrupted_backup(backups, "2026-01-05T000000Z", of=identity, more=NAME),
        interrupted_backup(backups, now.replace(now[:4], "2999"), of=None),
        interrupted_backup(backups, "before-the-move", of=identity),
    ]
    done = await asyncio.to_thread(run_tulou, own, "backup", TULOU_BACKUP_PLACE=str(backups))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "Deleted 2026-01-01T000000Z: it was interrupted.\nDeleted 2026-01-02T000000Z: it was interrupted.\n"
    )
    assert not ours.exists()
    assert not unmarked.exists()
    assert all(folder.exists() for folder in kept)


def started(own: Settings, backups: Path) -> subprocess.Popen[str]:
    """Start a backup into a new folder of a place."""
    return subprocess.Popen(
        [sys.executable, "-m", "bootstrap.cli.main", "backup"],
        env={
            **os.environ,
            "TULOU_DATA_DIR": str(own.data_dir),
            "TULOU_DATABASE_OWNER_URL": own.database_owner_url.get_secret_value(),
            "TULOU_BACKUP_PLACE": str(backups),
        },
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_backup_that_is_interrupted_leaves_nothing_that_counts(own, tmp_path, number: int) -> None:
    await add_objects(own, [f"bytes {number}".encode() for number in range(4000)])  # which takes seconds
    backups = tmp_path / "backups"
    program = started(own, backups)
    until = time.monotonic() + 60
    while not list(backups.glob("*/files/blobs/*")):
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    program.send_signal(number)
    _, said = await asyncio.to_thread(program.communicate)
    if number == signal.SIGKILL:
        (left,) = backups.iterdir()
        shutil.copytree(left, backups / "2026-01-01T000000Z")  # the second of its name may not have ended
    else:
        assert (program.returncode, said) == (128 + number, "Interrupted. No backup was taken.\n")
        assert list(backups.iterdir()) == []
    await asyncio.sleep(1.1)  # the next one gets another name
    done = await asyncio.to_thread(run_tulou, own, "backup", TULOU_BACKUP_PLACE=str(backups))
    assert done.returncode == 0, done.stderr
    (folder,) = backups.iterdir()
    assert (folder / NAME).exists()
    assert not (folder / UNFINISHED).exists()


LARGE_ROWS = """
    INSERT INTO files.files
        (id, owner_id, name, size, reserved, revision, status, upload_key, facts, client_metadata, tags)
    SELECT gen_random_uuid(), gen_random_uuid(), 'large', 0, 0, 1, 'uploading', 'blobs/x', '{}',
           jsonb_build_object('text', text), '{}'
    FROM generate_series(1, 7000),
         (SELECT string_agg(md5(part::text), '') AS text FROM generate_series(1, 640) AS part) AS long
"""
"""140 MB, which PostgreSQL can't compress much."""


def folder_for_everybody() -> Path:
    """Make a folder that the account of a server can reach, too."""
    folder = Path(tempfile.mkdtemp(prefix="tulou-disk-"))
    folder.chmod(0o755)
    return folder


@needs_a_disk
async def test_a_database_whose_disk_fills_up_keeps_what_it_has(own, servers, tmp_path) -> None:
    await rows_of(own, LARGE_ROWS)
    await save(own, str(tmp_path / "backup"), with_files=True)
    disk = folder_for_everybody()
    command = [
        sys.executable,
        "-m",
        "tests.bootstrap.restore_on_small_disk",
        str(disk),
        str(tmp_path / "backup"),
    ]
    mounted = 'mount -t tmpfs -o size=160m,mode=755 none "$1"; shift; exec "$@"'
    done = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "--mount", "sh", "-c", mounted, "sh", str(disk), *command],
        env={**os.environ, "TULOU_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    os.rmdir(disk)  # noqa: PTH106  # quick
    sentence, seen = done.stdout.splitlines()[-2:]
    assert sentence.startswith("PostgreSQL's disk is full"), done.stderr
    assert sentence.endswith("Nothing was changed.")
    assert seen == "who@example.com 0"
