"""What `tulou backup` and `tulou restore` do and say."""

import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg

from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.keeping import delete_old
from bootstrap.backup.manifest import Manifest
from bootstrap.backup.recording import record
from bootstrap.backup.restoring import restore
from bootstrap.backup.saving import save
from bootstrap.backup.verifying import verify
from bootstrap.settings import Settings
from bootstrap.terminal import run, stop, told

T = TypeVar("T")


def back_up(settings: Settings, place: str | None, *, with_files: bool) -> bool:
    """Take a backup and say what is in it; return whether it has everything."""
    os.umask(0o077)  # it holds the hashes of passwords and everybody's files
    is_named = place is not None
    place = place or _new_place(settings)
    manifest = _done(save(settings, place, with_files=with_files))
    _say(f"Backed up to {place}: {_told_of(manifest)}.")
    absent = manifest.files.absent if manifest.files else []
    for key in absent:
        sys.stderr.write(
            f"Not in the backup: the store has lost {key}, or it has other bytes than were stored.\n"
        )
    if not absent:
        _record(settings, manifest)
    if settings.backup_place and settings.backup_keep and not is_named and not absent:
        for name in _done(delete_old(settings, settings.backup_place, keep=settings.backup_keep)):
            _say(f"Deleted {name}: {settings.backup_keep} newer ones are kept.")
    return not absent


def check(settings: Settings, place: str) -> None:
    """Read a backup from end to end and say what is in it."""
    _say(f"Whole: {_told_of(_done(verify(settings, place)))}.")


def put_back(settings: Settings, place: str, *, replace: bool) -> None:
    """Restore a backup and say what was done."""
    restored = _done(restore(settings, place, replace=replace))
    for warning in restored.warnings:
        sys.stderr.write(f"{warning}\n")
    _say(f"Restored from {place}: {_told_of(restored.manifest)}; {'; '.join(restored.done)}.")


def _new_place(settings: Settings) -> str:
    if settings.backup_place is None:
        stop("Name a place for the backup, or set TULOU_BACKUP_PLACE.")
    return f"{settings.backup_place.rstrip('/')}/{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"


def _record(settings: Settings, manifest: Manifest) -> None:
    """Let monitoring know the backup; a backup that can't be recorded is whole all the same."""
    try:
        run(record(settings, manifest.taken_at))
    except (asyncpg.PostgresError, OSError) as error:
        sys.stderr.write(
            f"The database could not record this backup, so its age is wrong in the metrics: {error}\n"
        )


def _told_of(manifest: Manifest) -> str:
    rows = sum(table.rows for table in manifest.tables)
    files = f"{manifest.files.count} objects ({manifest.files.bytes} bytes)" if manifest.files else "no files"
    return f"{rows} rows of {len(manifest.tables)} tables, {files}, taken {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC"


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")


def _done(work: Coroutine[Any, Any, T]) -> T:
    try:
        return told(lambda: run(work))
    except BackupRefused as error:
        stop(str(error))
    except OSError as error:
        stop(f"The database can't be reached: {error}")
