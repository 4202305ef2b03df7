"""What other domains may know of files."""

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


class Files(Protocol):
    """What other domains may ask for."""

    async def exists(self, file_id: UUID, owner_id: UUID) -> bool:
        """Tell whether this owner has such a file, whole and not in the trash."""
        ...
