"""How much somebody may keep: what the settings say, or a limit of their own."""

from dataclasses import dataclass
from uuid import UUID

from domains.files.public import Quotas
from domains.files.settings import FilesSettings


@dataclass(frozen=True, slots=True)
class Quota:
    """The most bytes and files that somebody may keep."""

    max_bytes: int
    max_files: int


class Room:
    """Knows everybody's quota."""

    def __init__(self, settings: FilesSettings, quotas: Quotas) -> None:
        self._settings = settings
        self._quotas = quotas

    async def of(self, owner_id: UUID) -> Quota:
        """Return somebody's quota."""
        own = await self._quotas.quota_of(owner_id)
        return Quota(
            self._settings.files_quota_bytes if own.max_bytes is None else own.max_bytes,
            self._settings.files_max_count if own.max_files is None else own.max_files,
        )
