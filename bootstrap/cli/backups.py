"""The commands `tulou backup` and `tulou restore`.

Exit codes: 0 complete, 1 nothing was changed (a sentence says why), 3 incomplete: the missing parts are listed, 4 it is
unknown whether a restore was committed; 128 and the signal's number after an interruption.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
import typer

from bootstrap.backup.errors import BackupRefused, Uncertain
from bootstrap.backup.exclusive import database_name
from bootstrap.backup.loading import Lost
from bootstrap.backup.manifest import Manifest
from bootstrap.backup.recording import record
from bootstrap.backup.restoring import restore
from bootstrap.backup.retention import NAMES, retention_of
from bootstrap.backup.saving import save
from bootstrap.backup.tables import owner_url
from bootstrap.backup.verifying import verify
from bootstrap.cli.terminal import exit_on_error, run, stop
from bootstrap.diagnosis.database_failures import FAILURES, failure_of_owner
from bootstrap.settings.model import Settings

INCOMPLETE = 3
"""Exit code of an incomplete backup or restore."""

UNCERTAIN = 4
"""Exit code of a restore whose connection was lost during COMMIT."""

_LISTED = 20
_SIGNALLED = 128

T = TypeVar("T")


class Interrupted(Exception):
    """A signal has ended a command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class RestoreOptions:
    """The options of a restore."""

    replace: bool = False
    confirm: str | None = None
    skip_damaged: bool = False


def back_up(settings: Settings, place: str | None, *, with_files: bool) -> int:
    """Take a backup and say what is in it; return the exit code."""
    os.umask(0o077)  # it has password hashes and all users' files
    retention = retention_of(settings, owner_url(settings)) if place is None else None
    place = place or _new_place(settings)
    work = save(settings, place, with_files=with_files, retention=retention, say=_say)
    manifest = _done(settings, work, interrupted="Interrupted. No backup was taken.")
    _say(f"Backed up to {place}: {_summary_of(manifest)}.")
    absent = manifest.files.absent if manifest.files else []
    _list(absent, "Not in the backup: {} is missing in the store or damaged.")
    if absent:
        return INCOMPLETE
    _record(settings, manifest)
    if retention is not None and retention.keep is not None:
        for name in _done(
            settings, retention.delete_old(), interrupted="Interrupted. The backup is complete."
        ):
            _say(f"Deleted {name}: {retention.keep} newer ones are kept.")
    return 0


def check(settings: Settings, place: str) -> None:
    """Read a backup from end to end and say what is in it."""
    verified = _done(
        settings, verify(settings, place), interrupted="Interrupted. The backup was not checked completely."
    )
    _say(f"Whole: {_summary_of(verified.manifest)}.")


def restore_backup(settings: Settings, place: str, options: RestoreOptions) -> int:
    """Restore a backup and say what was done; return the exit code."""
    if options.replace:
        _confirm(settings, options.confirm)
    work = restore(settings, place, replace=options.replace, skip_damaged=options.skip_damaged, say=_say)
    restored = _done(settings, work, interrupted="Interrupted. Nothing was changed.")
    for warning in restored.warnings:
        sys.stderr.write(f"{warning}\n")
    _say(f"Restored from {place}: {_summary_of(restored.manifest)}; {'; '.join(restored.done)}.")
    return _tell_lost(restored.lost)


def _tell_lost(lost: Lost) -> int:
    """Print what could not be restored; return the exit code."""
    for table in lost.tables:
        sys.stderr.write(
            f"Not restored: {table} are damaged, or refer to damaged rows. The table is empty.\n"
        )
    for line in lost.consequences:
        sys.stderr.write(f"{line}\n")
    return INCOMPLETE if lost.tables or lost.objects else 0


def _confirm(settings: Settings, given: str | None) -> None:
    """Stop unless the operator has named the database to be replaced."""
    name = database_name(settings)
    if given is None and sys.stdin.isatty():
        given = typer.prompt(
            "--replace deletes what the database has. Type its name to go on", default="", show_default=False
        )
    if not given:
        stop(
            "--replace deletes what the database has. Name the database: --confirm NAME, as in"
            " TULOU_DATABASE_OWNER_URL. Nothing was changed."
        )
    if given != name:
        stop(f"The database is not {given}, but {name}. Nothing was changed.")


def _new_place(settings: Settings) -> str:
    if settings.backup_place is None:
        stop("Name a place for the backup, or set TULOU_BACKUP_PLACE.")
    return f"{settings.backup_place.rstrip('/')}/{datetime.now(UTC).strftime(NAMES)}"


def _record(settings: Settings, manifest: Manifest) -> None:
    """Record the backup for monitoring; a backup that can't be recorded is complete all the same."""
    try:
        run(record(settings, manifest.taken_at))
    except (asyncpg.PostgresError, OSError) as error:
        sys.stderr.write(
            f"The backup is complete, but the database could not record it, so metrics show a wrong age: {error}\n"
        )


def _summary_of(manifest: Manifest) -> str:
    rows = sum(table.rows for table in manifest.tables)
    files = f"{manifest.files.count} objects ({manifest.files.bytes} bytes)" if manifest.files else "no files"
    return f"{rows} rows of {len(manifest.tables)} tables, {files}, taken {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC"


def _list(names: list[str], sentence: str) -> None:
    for name in names[:_LISTED]:
        sys.stderr.write(f"{sentence.format(name)}\n")
    if len(names) > _LISTED:
        sys.stderr.write(f"And {len(names) - _LISTED} more: manifest.json lists them under `absent`.\n")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def _done(settings: Settings, work: Coroutine[Any, Any, T], *, interrupted: str) -> T:
    try:
        return exit_on_error(lambda: run(_until_a_signal(work)))
    except BackupRefused as error:
        stop(str(error))
    except Uncertain as error:
        stop(str(error), UNCERTAIN)
    except Interrupted as error:
        stop(interrupted, _SIGNALLED + error.number)
    except FAILURES as error:
        if isinstance(error, OSError) and error.filename is not None:
            stop(f"{error.filename}: {error.strerror}.")
        stop(failure_of_owner(settings, error))


async def _until_a_signal(work: Coroutine[Any, Any, T]) -> T:
    """Do the work; SIGINT and SIGTERM cancel it.

    Raises:
        Interrupted: one of them did.
    """
    signals: list[int] = []
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def cancel(number: int) -> None:
        signals.append(number)
        if task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel, number)
    try:
        return await work
    except asyncio.CancelledError:
        if signals:
            raise Interrupted(signals[0]) from None
        raise
