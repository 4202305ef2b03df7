"""Verifying a backup: everything that can be known of it is, before a restore throws anything away."""

from alembic.script import ScriptDirectory

from bootstrap.backup.archive import Archive
from bootstrap.backup.errors import BackupRefused
from bootstrap.backup.manifest import Manifest
from bootstrap.backup.objects import LISTING, BackedUpObjects
from bootstrap.container import TulouContainer  # loads every domain's tables
from bootstrap.migrate import FOLDER
from bootstrap.settings import Settings
from shared.models import metadata

assert TulouContainer is not None  # noqa: S101  # imported for its effect


async def verify(settings: Settings, place: str) -> Manifest:
    """Read a backup from end to end and check every digest; touch nothing else.

    Raises:
        BackupRefused: it is none, or it is damaged.
    """
    archive = Archive(settings, place)
    manifest = await archive.manifest()
    _verify_names(manifest)
    for part in manifest.tables:
        await archive.verify(part.key, part, lines=part.rows)
    if manifest.files is not None:
        await archive.verify(LISTING, manifest.files.listing)
    await BackedUpObjects(archive, manifest.files).verify()
    return manifest


def _verify_names(manifest: Manifest) -> None:
    """Compare tables and columns with those of the program, if the backup is of its own migration."""
    if manifest.revision != ScriptDirectory(str(FOLDER)).get_current_head():
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
