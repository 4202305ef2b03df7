"""Files whose bytes are lost, found when a damaged backup was restored."""

from collections.abc import Sequence
from dataclasses import dataclass

from domains.files.repository.objects import ObjectRepository
from domains.files.service.cleaning import CleaningService
from domains.files.service.processing import enqueue_processing
from shared.db.database import TransactionFactory
from shared.jobs import Outbox


@dataclass(kw_only=True, eq=False)
class LossService:
    """Deletes files that can't be read any more, and makes lost renditions again."""

    transaction: TransactionFactory
    objects: ObjectRepository
    cleaning: CleaningService
    outbox: Outbox

    async def forget(self, keys: Sequence[str]) -> list[str]:
        """Delete the files whose bytes are lost, and enqueue jobs for lost renditions; return a line about each.

        If their rows stayed, a later upload of the same bytes would not be stored.
        """
        lines = []
        async with self.transaction():
            for file in await self.objects.files_of(list(keys)):
                await self.cleaning.delete(file.id)
                lines.append(
                    f"The bytes of the file {file.id} of {file.owner_id} are damaged: it was removed."
                )
            lost = await self.objects.reset_renditions(list(keys))
            for file_id, owner_id in sorted({(each.file_id, each.owner_id) for each in lost}):
                await enqueue_processing(self.outbox, file_id, owner_id)
        return lines + [
            f"{each.name} of the file {each.file_id} is damaged: it is made again." for each in lost
        ]
