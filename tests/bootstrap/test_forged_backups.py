"""A forged or damaged backup is refused in one sentence, before anything is deleted."""

import asyncio
import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.exclusive import database_name
from bootstrap.backup.restoring import restore
from bootstrap.backup.saving import save
from bootstrap.backup.verifying import verify
from bootstrap.migrations.runner import migrate
from bootstrap.settings.model import Settings
from tests.bootstrap.test_backup import run_tulou, upload
from tests.installations import isolated_settings, running

Change = Callable[[dict[str, Any]], object]
OUTSIDE = "../../outside"


@pytest.fixture(scope="module")
async def source(settings, servers, tmp_path_factory) -> Settings:
    """An installation with one file, which a restore would throw away."""
    folder = tmp_path_factory.mktemp("forged")
    own = await isolated_settings(settings, servers.superuser_url, folder / "source")
    await asyncio.to_thread(migrate, own)
    async with running(own) as first:
        await upload(first, await first.people.register(), "a.txt", b"bytes of a file", "text/plain")
    await save(own, str(folder / "backup"), with_files=True)
    return own


@pytest.fixture
def backup(source: Settings, tmp_path: Path) -> Path:
    """A backup to spoil."""
    return Path(shutil.copytree(source.data_dir.parent / "backup", tmp_path / "backup"))


async def refused(source: Settings, backup: Path | str, *, when_restored: bool = False) -> str:
    """Let the backup be verified, and restored, in vain; return the sentence."""
    with pytest.raises(BackupRefused) as verified:
        await verify(source, str(backup))
    if when_restored:
        await refused_when_restored(source, backup, str(verified.value))
    return str(verified.value)


async def refused_when_restored(source: Settings, backup: Path | str, sentence: str) -> None:
    with pytest.raises(BackupRefused) as restored:
        await restore(source, str(backup), replace=True)
    assert str(restored.value) == sentence
    connection = await asyncpg.connect(source.database_owner_url.get_secret_value())
    assert await connection.fetchval("SELECT count(*) FROM users.users") == 1
    await connection.close()


def of_users(manifest: dict[str, Any]) -> dict[str, Any]:
    return next(table for table in manifest["tables"] if table["name"] == "users")


def change_users(**values: Any) -> Change:
    return lambda manifest: of_users(manifest).update(values)


def change_files(**values: Any) -> Change:
    return lambda manifest: manifest["files"].update(values)


FORGED: dict[str, Change] = {
    "a path out of the backup as schema": change_users(schema_name=OUTSIDE),
    "a path out of the backup as table": change_users(name=f"users/{OUTSIDE}"),
    "a quote in a table's name": change_users(name='users"; DROP TABLE x; --'),
    "a quote in a column's name": change_users(columns=['id"']),
    "a NUL in a name": change_users(name="us\x00ers"),
    "a huge number of rows": change_users(rows=10**30),
    "a negative number of bytes": change_users(bytes=-1),
    "a fraction of a byte": change_users(bytes=1.5),
    "a number as text": change_users(bytes="12"),
    "true as a number": change_users(rows=True),
    "a digest that is none": change_users(sha256="../x"),
    "null as digest": change_users(sha256=None),
    "another member": change_users(more=1),
    "a table twice": lambda manifest: manifest["tables"].append(of_users(manifest)),
    "no tables": lambda manifest: manifest.update(tables=None),
    "tables of another shape": lambda manifest: manifest.update(tables={"users": 1}),
    "a table that is unknown": lambda manifest: manifest["tables"].remove(of_users(manifest)),
    "columns of another table": change_users(columns=["id", "what"]),
    "a revision that is a path": lambda manifest: manifest.update(revision=OUTSIDE),
    "a program that rings": lambda manifest: manifest.update(program="\x1b]0;mine\x07"),
    "a time that is none": lambda manifest: manifest.update(taken_at="yesterday"),
    "a sequence with a huge value": lambda manifest: manifest.update(sequences={"users.x_seq": 10**30}),
    "a sequence that is SQL": lambda manifest: manifest.update(sequences={"a'); DROP": 1}),
    "a secret that rings": lambda manifest: manifest.update(secrets={"\x1b[2J": "x"}),
    "a lost object elsewhere": change_files(absent=[OUTSIDE]),
    "another number of objects": change_files(count=7),
    "another number of bytes in objects": change_files(bytes=10**15),
    "a listing of a negative size": change_files(listing={"bytes": -5, "sha256": "0" * 64}),
    "a list": lambda _manifest: [],
    "a number": lambda _manifest: 10**400,
    "null": lambda _manifest: "null",
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_manifest_is_refused(source: Settings, backup: Path, name: str) -> None:
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    changed = FORGED[name](manifest)
    path.write_text(json.dumps(manifest if changed is None else changed))
    once_more = name in {"a path out of the backup as table", "columns of another table"}
    sentence = await refused(source, backup, when_restored=once_more)
    assert sentence.endswith(".")
    assert not any(character in sentence for character in "\x00\x07\x1b\n")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x00" * 100,
        b"{",
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"format": 1, "format": 1}',
        b'{"a":' * 50_000,
        b"9" * 10_000,
        gzip.compress(b"{}", mtime=0),
    ],
    ids=[
        "empty",
        "zeros",
        "torn",
        "UTF-16",
        "nested lists",
        "twice",
        "nested objects",
        "a long number",
        "gzip",
    ],
)
async def test_what_is_no_manifest_is_refused(source: Settings, backup: Path, text: bytes) -> None:
    (backup / "manifest.json").write_bytes(text)
    assert "can't be read" in await refused(source, backup)


async def test_a_member_that_comes_twice_is_refused(source: Settings, backup: Path) -> None:
    path = backup / "manifest.json"
    path.write_text(path.read_text().replace('"rows"', '"rows": 1, "rows"', 1))
    assert "can't be read" in await refused(source, backup)


def rehash(backup: Path, packed: Path, part: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Give a part the digest of what it has now, as a forger would."""
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    content = packed.read_bytes()
    part(manifest).update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    path.write_text(json.dumps(manifest))


GOOD = hashlib.sha256(b"bytes of a file").hexdigest()
LINES = {
    "a path out of the backup": json.dumps({"storage_key": OUTSIDE, "size": 1, "sha256": None}),
    "an absolute path": json.dumps({"storage_key": "/etc/passwd", "size": 1, "sha256": None}),
    "dots inside a key": json.dumps({"storage_key": "blobs/../../x", "size": 1, "sha256": None}),
    "an empty key": json.dumps({"storage_key": "", "size": 1, "sha256": None}),
    "a NUL in a key": json.dumps({"storage_key": "blobs/a\x00b", "size": 1, "sha256": None}),
    "a backslash": json.dumps({"storage_key": "blobs\\x", "size": 1, "sha256": None}),
    "a huge size": json.dumps({"storage_key": "blobs/x", "size": 10**30, "sha256": None}),
    "a negative size": json.dumps({"storage_key": "blobs/x", "size": -1, "sha256": GOOD}),
    "a size as text": json.dumps({"storage_key": "blobs/x", "size": "1", "sha256": GOOD}),
    "a key that is a number": json.dumps({"storage_key": 1, "size": 1, "sha256": GOOD}),
    "a missing member": json.dumps({"storage_key": "blobs/x"}),
    "a list": "[]",
    "no JSON": "{",
    "no object": json.dumps({"storage_key": "blobs/nothing", "size": 1, "sha256": GOOD}),
    "a line without an end": "x" * 100_000,
    "nesting": "[" * 4000,
}


@pytest.mark.parametrize("name", LINES)
async def test_a_forged_listing_is_refused(source: Settings, backup: Path, name: str) -> None:
    listing = backup / "files.jsonl.gz"
    listing.write_bytes(gzip.compress(gzip.decompress(listing.read_bytes()) + f"{LINES[name]}\n".encode()))
    rehash(backup, listing, lambda manifest: manifest["files"]["listing"])
    once_more = name in {"a path out of the backup", "no object"}
    assert "Nothing was changed" in await refused(source, backup, when_restored=once_more)


@pytest.mark.parametrize("name", ["no gzip", "torn", "two streams", "rows that are missing"])
async def test_a_forged_table_is_refused(source: Settings, backup: Path, name: str) -> None:
    table = backup / "database" / "users.users.copy.gz"
    packed = table.read_bytes()
    table.write_bytes(
        {
            "no gzip": b"rows",
            "torn": packed[:-9],
            "two streams": packed + packed,
            "rows that are missing": gzip.compress(b""),
        }[name]
    )
    rehash(backup, table, of_users)
    sentence = await refused(source, backup, when_restored=True)
    assert "The backup is damaged: database/users.users.copy.gz" in sentence


async def test_an_archive_of_something_else_is_refused(source: Settings, tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(__file__, arcname="../../manifest.json")
    folder = tmp_path / "elsewhere"
    (folder / "manifest.json").mkdir(parents=True)
    for place in (archive, folder, tmp_path / "nothing", "what://is/this", "s3://"):
        assert (await refused(source, place)).endswith(".")


@pytest.mark.parametrize("arguments", [("--check",), ("--replace",)])
async def test_the_command_says_one_sentence_and_ends_with_1(
    source: Settings, backup: Path, arguments: tuple[str, ...]
) -> None:
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    change_users(name=OUTSIDE)(manifest)
    path.write_text(json.dumps(manifest))
    named = ["--confirm", database_name(source)]
    result = await asyncio.to_thread(run_tulou, source, "restore", str(backup), *arguments, *named)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "can't be read" in result.stderr


async def test_the_command_says_one_sentence_of_a_place_that_is_none(source: Settings) -> None:
    result = await asyncio.to_thread(run_tulou, source, "restore", "what://is/this", "--check")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
