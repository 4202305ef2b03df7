"""Which backups are kept in TULOU_BACKUP_PLACE: the newest TULOU_BACKUP_KEEP of those that `tulou backup` named."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from bootstrap.backup.archive import UNFINISHED, objects_at
from bootstrap.backup.manifest import NAME
from bootstrap.backup.objects import LISTING
from bootstrap.backup.sizes import free_of
from bootstrap.settings.model import Settings
from domains.files.gateway.store import ObjectFiles

NAMES = "%Y-%m-%dT%H%M%SZ"
_NAMED_BY_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
_PARTS = ("database/", "files/", LISTING, UNFINISHED)
_OLD = timedelta(days=1)
"""Age from which an unfinished backup without an owner counts as abandoned."""
_LARGEST_MARK = 4096


@dataclass(frozen=True)
class Retention:
    """A place of backups, and how many of them are kept; None: all."""

    objects: ObjectFiles
    keep: int | None
    identity: str

    async def complete_backups(self) -> list[str]:
        """Return the names of the complete backups, the oldest first."""
        return [name for name in await self._names() if await self.objects.size(f"{name}/{NAME}") is not None]

    async def delete_interrupted(self) -> list[str]:
        """Delete backups of this database that were interrupted; return their names.

        Call it while no other backup of this database can be under way.
        """
        interrupted = [name for name in await self._names() if await self._is_interrupted(name)]
        for name in interrupted:
            await self.objects.delete_folder(name)
        return interrupted

    async def free_space(self, needed: int) -> list[str]:
        """Delete, if the disk has too little room, what would be deleted after the backup; return the names.

        The newest complete backup always stays.
        """
        folder, deleted = self.objects.folder, list[str]()
        if folder is None or self.keep is None:
            return deleted
        complete = await self.complete_backups()
        for name in complete[: len(complete) - max(self.keep - 1, 1)]:
            if free_of(folder) >= needed:
                break
            await self.objects.delete_folder(name)
            deleted.append(name)
        return deleted

    async def delete_old(self) -> list[str]:
        """Delete what is older than the newest whole ones that are kept; return the names.

        What isn't named as `tulou backup` does belongs to others, and stays.
        """
        complete = await self.complete_backups()
        if self.keep is None or len(complete) <= self.keep:
            return []
        old = [name for name in await self._names() if name < complete[-self.keep]]
        for name in old:
            await self.objects.delete_folder(name)
        return old

    async def _names(self) -> list[str]:
        return sorted(name for name in await self.objects.folders() if _NAMED_BY_TIME.fullmatch(name))

    async def _is_interrupted(self, name: str) -> bool:
        """Tell whether a folder is an interrupted backup of this database, and nothing else is in it."""
        if await self.objects.size(f"{name}/{NAME}") is not None:
            return False
        async for key in self.objects.keys(name):
            if not key.removeprefix(f"{name}/").startswith(_PARTS):
                return False
        size = await self.objects.size(f"{name}/{UNFINISHED}")
        if size is None:
            return datetime.strptime(name, NAMES).replace(tzinfo=UTC) < datetime.now(UTC) - _OLD
        return await self._identity_in(f"{name}/{UNFINISHED}", size) == self.identity

    async def _identity_in(self, key: str, size: int) -> str | None:
        text = b"".join([bytes(piece) async for piece in self.objects.read(key, 0, min(size, _LARGEST_MARK))])
        with suppress(ValueError, TypeError, KeyError):
            return str(json.loads(text)["database"])
        return None


def retention_of(settings: Settings, url: str) -> Retention | None:
    """Return the place of backups, if one is set. `url` is that of the database."""
    if settings.backup_place is None:
        return None
    objects = objects_at(settings, settings.backup_place)
    return Retention(objects, settings.backup_keep, identity_of(url))


def identity_of(url: str) -> str:
    """Return what tells databases apart: a hash of host, port and name."""
    parts = urlsplit(url)
    return hashlib.sha256(f"{parts.hostname}:{parts.port}{parts.path}".encode()).hexdigest()[:16]


async def mark_of(identity: str) -> AsyncIterator[bytes]:
    """Yield the contents of the marker of an unfinished backup."""
    yield json.dumps({"database": identity, "begun_at": datetime.now(UTC).isoformat()}).encode()
