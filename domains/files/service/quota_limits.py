"""How much a person may store: the settings, or a limit of their own."""

from dataclasses import dataclass
from uuid import UUID

from domains.files.public import Quotas
from domains.files.settings import FilesSettings


@dataclass(frozen=True, slots=True)
class Quota:
    """The most bytes and files that a person may store."""

    max_bytes: int
    max_files: int


class QuotaLimits:
    """The quotas of all people."""

    def __init__(self, settings: FilesSettings, quotas: Quotas) -> None:
        self._settings = settings
        self._quotas = quotas

    async def of(self, owner_id: UUID) -> Quota:
        """Return a person's quota."""
        personal = await self._quotas.quota_of(owner_id)
        return Quota(
            self._settings.files_quota_bytes if personal.max_bytes is None else personal.max_bytes,
            self._settings.files_max_count if personal.max_files is None else personal.max_files,
        )
