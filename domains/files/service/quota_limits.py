"""How much a person may store: by the settings, or by a quota of their own."""

from dataclasses import dataclass
from uuid import UUID

from domains.files.public import Quotas
from domains.files.settings import FilesSettings


@dataclass(frozen=True, slots=True)
class Quota:
    """The most bytes and files that a person may store."""

    max_bytes: int
    max_files: int


@dataclass(kw_only=True, eq=False)
class QuotaLimits:
    """Reads the quotas of people."""

    settings: FilesSettings
    quotas: Quotas

    async def of(self, owner_id: UUID) -> Quota:
        """Return a person's quota."""
        personal = await self.quotas.quota_of(owner_id)
        return Quota(
            self.settings.files_quota_bytes if personal.max_bytes is None else personal.max_bytes,
            self.settings.files_max_count if personal.max_files is None else personal.max_files,
        )
