"""Files whose bytes are lost: what becomes of their rows after a damaged backup was restored."""

from collections.abc import Sequence
from uuid import UUID

from domains.files.job_types import PROCESS
from domains.files.public import RESOURCE_TYPE, FileStored
from domains.files.repository.objects import ObjectRepository
from domains.files.service.cleaning import CleaningService
from shared.db.database import TransactionFactory
from shared.events import Resource
from shared.jobs import JobOptions, Outbox


class LossService:
    """Removes what can't be read any more, and has made again what can be."""

    def __init__(
        self,
        *,
        transaction: TransactionFactory,
        objects: ObjectRepository,
        cleaning: CleaningService,
        outbox: Outbox,
    ) -> None:
        self.transaction = transaction
        self.objects = objects
        self.cleaning = cleaning
        self.outbox = outbox

    async def forget(self, keys: Sequence[str]) -> list[str]:
        """Remove the files whose bytes are among these objects, and order lost renditions anew; return a line of each.

        With their rows in place a later upload of the same bytes would be taken for one that is stored already.
        """
        lines = []
        async with self.transaction():
            for file in await self.objects.files_of(keys):
                await self.cleaning.remove(file.id)
                lines.append(
                    f"The bytes of the file {file.id} of {file.owner_id} are damaged: it was removed."
                )
            lost = await self.objects.renew(keys)
            for file_id, owner_id in sorted({(each.file_id, each.owner_id) for each in lost}):
                await self._make_again(file_id, owner_id)
        return lines + [
            f"{each.name} of the file {each.file_id} is damaged: it is made again." for each in lost
        ]

    async def _make_again(self, file_id: UUID, owner_id: UUID) -> None:
        options = JobOptions(owner_id=owner_id, resource=Resource(type=RESOURCE_TYPE, id=file_id))
        await self.outbox.enqueue(PROCESS, FileStored(owner_id=owner_id, file_id=file_id), options)
