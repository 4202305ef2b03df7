"""Verifies a backup completely, before a restore changes anything."""

from dataclasses import dataclass, field

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import Manifest, TablePart
from bootstrap.backup.objects import LISTING, BackedUpObjects
from bootstrap.container import TulouContainer  # loads every domain's tables
from bootstrap.migrations.lineage import our_history
from bootstrap.settings.model import Settings
from shared.db.models import metadata

assert TulouContainer is not None  # noqa: S101  # imported for its effect


@dataclass
class Damage:
    """Parts of a backup that are missing or have other bytes than were stored. `objects` are keys of the store."""

    tables: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    has_listing: bool = True


@dataclass
class Verified:
    """A backup that was read from end to end. `rows_bytes` is what its rows have without compression."""

    manifest: Manifest
    rows_bytes: int
    damage: Damage


async def verify(settings: Settings, place: str, *, skip_damaged: bool = False) -> Verified:
    """Read a backup from end to end and check every digest; touch nothing else.

    With `skip_damaged` what is damaged is returned; a manifest is needed all the same.

    Raises:
        BackupRefused: it is none, or it is damaged.
    """
    archive = Archive(settings, place, make_folder=False)
    manifest = await archive.manifest()
    _verify_names(manifest)
    verified = Verified(manifest, 0, Damage())
    for part in manifest.tables:
        verified.rows_bytes += await _verify_table(archive, part, verified.damage, skip_damaged=skip_damaged)
    if manifest.files is not None:
        try:
            await archive.verify(LISTING, manifest.files.listing)
        except BackupRefused:
            if not skip_damaged:
                raise
            verified.damage.has_listing = False
            return verified
    damaged = verified.damage.objects if skip_damaged else None
    await BackedUpObjects(archive, manifest.files).verify(damaged=damaged)
    return verified


async def _verify_table(archive: Archive, part: TablePart, damage: Damage, *, skip_damaged: bool) -> int:
    try:
        return await archive.verify(part.key, part, lines=part.rows)
    except BackupRefused:
        if not skip_damaged:
            raise
        damage.tables.add(part.full_name)
        return 0


def _verify_names(manifest: Manifest) -> None:
    """Compare tables and columns with those of the program, if the backup is of its own migration."""
    if manifest.revision != our_history().head:
        return
    ours = {
        name: {column.name for column in table.columns if column.computed is None}
        for name, table in metadata.tables.items()
    }
    theirs = {part.full_name: set(part.columns) for part in manifest.tables}
    if ours != theirs:
        raise BackupRefused(
            "The backup's tables are not those of its migration: they were changed by hand. Nothing was changed."
        )
