"""What must go: abandoned uploads, expired trash, the files of people who left, and bytes that nobody has."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from domains.files.errors import WorkNotFinished
from domains.files.job_types import ERASE, KeysToErase
from domains.files.models import FileStatus
from domains.files.repository.files import FileRepository
from domains.files.repository.objects import ObjectRepository
from domains.files.repository.quota import QuotaRepository
from domains.files.service.ports import PrunedRecords, Store
from domains.files.settings import FilesSettings
from domains.jobs.public import Jobs
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.errors import problem_of
from shared.jobs import JobContext, Outbox, Snooze

_KEYS_IN_A_JOB = 200
_STUCK = timedelta(minutes=1)
_FIRST = UUID(int=0)
_WHILE_BACKED_UP = timedelta(minutes=1)


async def enqueue_erase(outbox: Outbox, keys: Sequence[str]) -> None:
    """Order, in the open transaction, that objects be deleted: never before it commits."""
    for start in range(0, len(keys), _KEYS_IN_A_JOB):
        await outbox.enqueue(ERASE, KeysToErase(keys=list(keys[start : start + _KEYS_IN_A_JOB])))


class CleaningService:
    """Removes rows at once and bytes by jobs."""

    def __init__(
        self,
        *,
        settings: FilesSettings,
        transaction: TransactionFactory,
        files: FileRepository,
        quota: QuotaRepository,
        objects: ObjectRepository,
        store: Store,
        outbox: Outbox,
        jobs: Jobs,
        clock: Clock,
        erasures: PrunedRecords,
    ) -> None:
        self.settings = settings
        self.transaction = transaction
        self.files = files
        self.quota = quota
        self.objects = objects
        self.store = store
        self.outbox = outbox
        self.jobs = jobs
        self.clock = clock
        self.erasures = erasures

    async def purge(self, owner_id: UUID) -> None:
        """Erase all files of a person: rows in the open transaction, bytes by a job. Safe to call again."""
        async with self.transaction():
            await enqueue_erase(self.outbox, await self.quota.purge_owner(owner_id))

    async def erase(self, keys: Sequence[str], context: JobContext) -> None:
        """Delete objects from the store; later, when a backup is under way.

        Raises Snooze.
        """
        if not await self.objects.may_erase():
            raise Snooze(_WHILE_BACKED_UP, "a backup is under way")
        for number, key in enumerate(keys, start=1):
            await self.store.delete(key)
            await context.progress(number, len(keys))

    async def sweep(self) -> None:
        """Remove what was abandoned or has been in the trash long enough; reconcile files whose work just stopped."""
        now = self.clock.now()
        for upload in await self.quota.abandoned(now - timedelta(hours=self.settings.files_abandoned_hours)):
            await self._remove_upload(upload.id, upload.owner_id)
        for file_id in await self.quota.expired(now - timedelta(days=self.settings.files_trash_days)):
            await self.remove(file_id)
        after = _FIRST
        while stuck := await self.files.stuck(now - _STUCK, after=after):
            living = await self.jobs.of_resources(list(stuck))
            for file_id in stuck:
                if not living[file_id]:
                    await self.reconcile(file_id)
            after = stuck[-1]

    async def prune_erasures(self) -> None:
        """Delete records of erasures that are older than any backup."""
        await self.erasures.prune(self.clock.now() - timedelta(days=self.settings.files_erasures_days))

    async def reconcile(self, file_id: UUID) -> None:
        """Let a file that waits for work be ready without it, if nobody is going to do any."""
        async with self.transaction():
            if not await self.files.lock_processing(file_id):
                return
            if not (await self.jobs.of_resources([file_id]))[file_id]:
                await self.files.mark_renditions_failed(file_id, problem_of(WorkNotFinished()))
                await self.files.set_status(file_id, FileStatus.READY)

    async def remove(self, file_id: UUID) -> None:
        """Delete a file for good; its bytes go when it was the last that had them."""
        owner_id = await self.quota.owner_of(file_id)
        if owner_id is None:
            return
        async with self.transaction():
            await self.quota.lock_usage(owner_id)
            purged, keys = await self.quota.purge(file_id)
            if purged is None:
                return
            if purged.sha256 is not None:
                blob_key = await self.quota.remove_blob_copies(purged.sha256)
                keys += [blob_key] if blob_key else []
            await self.quota.adjust_usage(purged.owner_id, added=-purged.size, removed=1)
            await enqueue_erase(self.outbox, keys)

    async def _remove_upload(self, file_id: UUID, owner_id: UUID) -> None:
        async with self.transaction():
            await self.quota.lock_usage(owner_id)
            gone = await self.quota.abandon(file_id)
            if gone is None or gone.upload_key is None:
                return
            await self.quota.adjust_usage(gone.owner_id, released=gone.reserved, removed=1)
            await enqueue_erase(self.outbox, [gone.upload_key])
