"""Restores a backup: verifies everything, loads it beside the current data, and replaces that in one transaction."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from bootstrap.backup.archive import Archive
from bootstrap.backup.compatibility import SchemaCompatibility
from bootstrap.backup.disk_space import check_disk_space
from bootstrap.backup.errors import BackupRefused, Uncertain
from bootstrap.backup.exclusive import check_target, exclusive_access
from bootstrap.backup.leftovers import clear, forget
from bootstrap.backup.loading import Loading, Lost, Say
from bootstrap.backup.manifest import Manifest, fingerprints
from bootstrap.backup.verifying import verify
from bootstrap.settings.model import Settings
from domains.files.gateway.store import ObjectFiles
from shared.errors import AppError

_PROBE = "restoring/probe"

_RENAMED = {"TULOU_TOKEN_KEY": "TULOU_TOKEN_KEYS"}
"""Secrets that older backups know by another name."""


@dataclass
class Restored:
    """What was restored, what was not, and warnings for the operator."""

    manifest: Manifest
    lost: Lost = field(default_factory=Lost)
    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _silent(_sentence: str) -> None:
    """Say nothing."""


async def restore(
    settings: Settings, place: str, *, replace: bool, skip_damaged: bool = False, say: Say = _silent
) -> Restored:
    """Put a backup's rows and objects in place. The program must not run meanwhile.

    With `skip_damaged` what is sound is restored, and `Restored.lost` names the rest. `say` is told each step.

    Raises:
        BackupRefused: it can't be restored; nothing was changed.
        Uncertain: the connection was lost while it committed.
    """
    archive = Archive(settings, place, make_folder=False)
    manifest = await archive.manifest()
    compatibility = SchemaCompatibility(manifest)
    store = ObjectFiles(settings, settings.data_dir)
    async with exclusive_access(settings) as holder:
        # Cheap checks first: reading a large backup takes hours.
        await check_target(holder, settings, manifest, replace=replace)
        await _check_store(store, manifest)
        if deleted := await clear(holder, store):
            say(f"Deleted {deleted} objects that an interrupted restore had added.")
        # Completely before any change, because a forged or damaged backup must change nothing.
        verified = await verify(settings, place, skip_damaged=skip_damaged)
        say(f"Verified the backup of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC.")
        await check_disk_space(settings, store, archive, verified)
        loading = Loading(settings, archive, store, verified, compatibility, holder, say, skip_damaged)
        try:
            await loading.run()
        except Uncertain:
            raise  # the list stays: the next restore checks it against the rows
        except BaseException as error:
            if not loading.is_committed:
                await _undo(holder, store)
                raise
            _go_on_after(error)
        if manifest.files is not None:
            try:
                await forget(holder, store)
            except (
                AppError,
                asyncio.CancelledError,
            ) as error:  # the next restore sees that rows name all of it
                _go_on_after(error)
    warnings = [
        *compatibility.warnings,
        *_changed_secrets(settings, manifest),
        *_forgotten_erasures(settings, manifest),
    ]
    return Restored(manifest, loading.lost, loading.done, warnings)


async def _check_store(store: ObjectFiles, manifest: Manifest) -> None:
    """Check early whether objects can be added."""
    if manifest.files is None:
        return

    async def nothing() -> Any:
        yield b"a restore was about to begin\n"

    try:
        await store.put(_PROBE, nothing())
        await store.delete(_PROBE)
    except AppError as error:
        where = store.folder or "TULOU_FILES_STORE_URL"
        raise BackupRefused(
            f"The store of files ({where}) can't be written to: {error.detail} Nothing was changed."
        ) from error


def _go_on_after(error: BaseException) -> None:
    """Ignore errors of the cleanup, because the restore is committed. An interruption still reports the restore."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError):
        if task is not None:
            task.uncancel()
    elif not isinstance(error, Exception):
        raise error


async def _undo(holder: Any, store: ObjectFiles) -> None:
    """Delete the added objects if possible; the next restore deletes the rest."""
    try:
        await asyncio.shield(asyncio.ensure_future(clear(holder, store)))
    except (AppError, BackupRefused, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return


def _changed_secrets(settings: Settings, manifest: Manifest) -> list[str]:
    here = fingerprints(settings)
    return [
        f"{name} differs from its value when the backup was taken. docs/backups.md explains the consequences."
        for name, value in manifest.secrets.items()
        if here.get(_RENAMED.get(name, name)) != value
    ]


def _forgotten_erasures(settings: Settings, manifest: Manifest) -> list[str]:
    kept = timedelta(days=settings.files_erasures_days)
    if manifest.taken_at >= datetime.now(UTC) - kept:
        return []
    sentence = (
        f"The backup is older than {kept.days} days (TULOU_FILES_ERASURES_DAYS): accounts that were erased since, but"
        " before that, are back. Erase them again."
    )
    return [sentence]
