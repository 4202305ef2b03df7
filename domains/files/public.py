"""Public API: whether a file exists, the event that one was stored, and what this domain needs from higher ones."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.events import OwnedEvent

RESOURCE_TYPE = "file"
ERASE_LOCK_KEY = 7_483_921
"""Key of the advisory lock that a backup holds, so that no object is deleted while it copies them."""


class FileStored(OwnedEvent):
    """A file was uploaded completely."""

    about = RESOURCE_TYPE
    file_id: UUID


@dataclass(frozen=True, slots=True)
class PersonalQuota:
    """How much one person may store; None: the limit of the settings."""

    max_bytes: int | None
    max_files: int | None


class FileDirectory(Protocol):
    """Lookup of files."""

    async def exists(self, file_id: UUID, owner_id: UUID) -> bool:
        """Return whether this owner has such a file, complete and not in the trash."""
        ...


class Quotas(Protocol):
    """How much people may store; implemented by the domain that has their limits."""

    async def quota_of(self, owner_id: UUID) -> PersonalQuota:
        """Return a person's quota. Called before each upload, so it should be cached."""
        ...


class ErasureRecords(Protocol):
    """Records of erased accounts, kept outside the database: a restored backup may be older than an erasure."""

    async def record(self, user_id: UUID) -> None:
        """Record an erasure, before the account's rows are deleted. Safe to call again.

        Raises:
            AppError: the store can't be written to; retry the erasure later.
        """
        ...

    def since(self, moment: datetime) -> AsyncIterator[UUID]:
        """Yield the accounts that were erased after a moment; some may be repeated, or were erased before it."""
        ...
