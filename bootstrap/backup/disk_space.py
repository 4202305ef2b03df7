"""Checks that the disks of this machine have enough space for a backup or a restore."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import Manifest
from bootstrap.backup.objects import objects_in
from bootstrap.backup.sizes import existing, format_size, free_of
from bootstrap.backup.tables import owner_url
from bootstrap.backup.verifying import Verified
from bootstrap.settings.model import Settings
from domains.files.gateway.store import ObjectFiles

_ROWS_IN_DATABASE = 3
"""Bytes that rows take in PostgreSQL for each byte in the text format of COPY: row headers, indexes and the log."""
_LOCAL = {None, "", "localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class SpaceRequirement:
    """Bytes that are needed on the disk of a folder."""

    what: str
    folder: Path
    size: int


async def check_disk_space(
    settings: Settings, store: ObjectFiles, archive: Archive, verified: Verified
) -> None:
    """Refuse to begin a restore for which a disk of this machine has too little space.

    Nothing can be known of a bucket, or of a database on another machine.

    Raises:
        BackupRefused: it names the disk, and how much is missing.
    """
    requirements = []
    if store.folder is not None and verified.manifest.files is not None and verified.damage.has_listing:
        size = await _bytes_to_add(archive, verified.manifest, store)
        requirements.append(SpaceRequirement("the files", store.folder, size))
    if (folder := _database_folder(settings)) is not None:
        requirements.append(SpaceRequirement("the database", folder, _ROWS_IN_DATABASE * verified.rows_bytes))
    require_disk_space(requirements)


def require_disk_space(requirements: list[SpaceRequirement]) -> None:
    """Compare what is needed on each disk with what is free there.

    Raises:
        BackupRefused: there is too little.
    """
    by_disk = defaultdict(list)
    for requirement in requirements:
        folder = existing(requirement.folder)
        by_disk[folder.stat().st_dev].append((folder, requirement))
    for found in by_disk.values():
        free, required = free_of(found[0][0]), sum(requirement.size for _, requirement in found)
        if required > free:
            what = " and ".join(requirement.what for _, requirement in found)
            raise BackupRefused(
                f"Too little space for {what}: the disk of {found[0][1].folder} has {format_size(free)} free, and about"
                f" {format_size(required)} are needed: {format_size(required - free)} are missing. Nothing was changed."
            )


async def _bytes_to_add(archive: Archive, manifest: Manifest, store: ObjectFiles) -> int:
    """Return the bytes of the objects that the store lacks."""
    if manifest.files is None:
        return 0
    absent, size = set(manifest.files.absent), 0
    async for listed in objects_in(archive, manifest.files.listing):
        if listed.storage_key not in absent and await store.size(listed.storage_key) != listed.size:
            size += listed.size
    return size


def _database_folder(settings: Settings) -> Path | None:
    """Return a folder on PostgreSQL's disk, if this machine can see one."""
    if settings.database_volume is not None:
        return settings.database_volume
    folder = settings.data_dir / "postgres"
    is_here = urlsplit(owner_url(settings)).hostname in _LOCAL
    return folder if is_here and folder.is_dir() else None
