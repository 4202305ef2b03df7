"""What other domains may know of files."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.events import Event

RESOURCE_TYPE = "file"
ERASE_LOCK_KEY = 7_483_921
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
    """How much people may store; implemented by the domain that has their limits."""

    async def quota_of(self, owner_id: UUID) -> PersonalQuota:
        """Return a person's quota. Called before each upload, so it mostly comes from memory."""
        ...


class ErasureRecords(Protocol):
    """Which accounts were erased, recorded outside the database: a restored backup may be older than an erasure."""

    async def record(self, user_id: UUID) -> None:
        """Record an erasure, before the account's rows are deleted. Safe to call again.

        Raises:
            AppError: the store can't be written to; the erasure has to be tried again later.
        """
        ...

    def since(self, moment: datetime) -> AsyncIterator[UUID]:
        """Yield the accounts that were erased after a moment; some may come twice, or were erased before it."""
        ...
