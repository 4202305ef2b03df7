"""What other domains may know of files."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.events import Event

RESOURCE_TYPE = "file"
ERASING = 7_483_921
"""Key of the advisory lock by which a backup keeps objects from being deleted while it copies them."""


class FileStored(Event):
    """A file's bytes arrived whole and are kept."""

    about = RESOURCE_TYPE
    file_id: UUID


@dataclass(frozen=True, slots=True)
class PersonalQuota:
    """How much one person may keep; None: as much as the settings say."""

    max_bytes: int | None
    max_files: int | None


class Files(Protocol):
    """What other domains may ask for."""

    async def exists(self, file_id: UUID, owner_id: UUID) -> bool:
        """Tell whether this owner has such a file, whole and not in the trash."""
        ...


class Quotas(Protocol):
    """Tells how much people may keep; implemented by the domain that knows them."""

    async def quota_of(self, owner_id: UUID) -> PersonalQuota:
        """Return somebody's quota. Asked before each upload, so mostly answered from memory."""
        ...
