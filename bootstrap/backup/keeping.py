"""Which backups are kept: `TULOU_BACKUP_KEEP` of those that `tulou backup` named by the time."""

import re

from bootstrap.backup.archive import objects_at
from bootstrap.backup.manifest import NAME
from bootstrap.settings import Settings

_NAMED_BY_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")


async def delete_old(settings: Settings, place: str, *, keep: int) -> list[str]:
    """Delete from a place of backups what is older than the newest `keep` whole ones; return the names.

    What isn't named as `tulou backup` does is somebody else's, and stays.
    """
    objects = objects_at(settings, place)
    names = sorted(name for name in await objects.folders() if _NAMED_BY_TIME.fullmatch(name))
    whole = [name for name in names if await objects.size(f"{name}/{NAME}") is not None]
    if len(whole) <= keep:
        return []
    old = [name for name in names if name < whole[-keep]]
    for name in old:
        await objects.delete_folder(name)
    return old
