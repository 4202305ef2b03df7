"""What other domains may know of files."""

from typing import Protocol
from uuid import UUID

from shared.events import Event, Resource

RESOURCE_TYPE = "file"
ERASING = 7_483_921
"""Key of the advisory lock by which a backup keeps objects from being deleted while it copies them."""


class FileStored(Event):
    """A file's bytes arrived whole and are kept."""

    file_id: UUID

    @property
    def resource(self) -> Resource:
        """The file."""
        return Resource(type=RESOURCE_TYPE, id=self.file_id)


class Files(Protocol):
    """What other domains may ask for."""

    async def purge_owner(self, owner_id: UUID) -> None:
        """Erase all files of a person: rows in the open transaction, bytes by a job. Safe to call again."""
        ...
