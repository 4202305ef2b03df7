"""Deletion of abandoned uploads, expired trash, files of deleted people, and bytes that no file has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from domains.files.errors import WorkNotFinished
from domains.files.gateway.erasures import ErasureRecords
from domains.files.gateway.store import ObjectFiles
from domains.files.job_types import ERASE, KeysToErase
from domains.files.models import FileStatus
from domains.files.repository.files import FileRepository
from domains.files.repository.objects import ObjectRepository
from domains.files.repository.storage import StorageRepository
from domains.files.settings import FilesSettings
from domains.jobs.public import Jobs
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.errors import problem_of
from shared.jobs import JobContext, Outbox, Snooze

_KEYS_IN_A_JOB = 200
_STUCK = timedelta(minutes=1)
_FIRST = UUID(int=0)
_DURING_BACKUP = timedelta(minutes=1)


async def enqueue_erase(outbox: Outbox, keys: Sequence[str]) -> None:
    """Enqueue jobs, in the open transaction, that delete objects."""
    for start in range(0, len(keys), _KEYS_IN_A_JOB):
        await outbox.enqueue(ERASE, KeysToErase(keys=list(keys[start : start + _KEYS_IN_A_JOB])))


@dataclass(kw_only=True, eq=False)
class CleaningService:
    """Deletes rows at once, and bytes by jobs. Implements `PersonalDataEraser`."""

    settings: FilesSettings
    transaction: TransactionFactory
    files: FileRepository
    storage: StorageRepository
    objects: ObjectRepository
    store: ObjectFiles
    outbox: Outbox
    jobs: Jobs
    clock: Clock
    erasures: ErasureRecords

    async def purge(self, owner_id: UUID) -> None:
        """Erase all files of a person: rows in the open transaction, bytes by a job. Safe to call again."""
        async with self.transaction():
            await enqueue_erase(self.outbox, await self.storage.purge(owner_id))

    async def erase(self, keys: Sequence[str], context: JobContext) -> None:
        """Delete objects from the store. Raises Snooze while a backup is running."""
        if not await self.objects.may_erase():
            raise Snooze(_DURING_BACKUP, "a backup is running")
        for number, key in enumerate(keys, start=1):
            await self.store.delete(key)
            await context.progress(number, len(keys))

    async def sweep(self) -> None:
        """Delete abandoned uploads and expired trash; reconcile files whose job is gone."""
        now = self.clock.now()
        for upload in await self.storage.abandoned(
            now - timedelta(hours=self.settings.files_abandoned_hours)
        ):
            await self._delete_upload(upload.id, upload.owner_id)
        for file_id in await self.storage.expired(now - timedelta(days=self.settings.files_trash_days)):
            await self.delete(file_id)
        after = _FIRST
        while stuck := await self.files.stuck(now - _STUCK, after=after):
            jobs = await self.jobs.of_resources(stuck)
            for file_id in stuck:
                if not jobs[file_id]:
                    await self.reconcile(file_id)
            after = stuck[-1]

    async def prune_erasures(self) -> None:
        """Delete records of erasures that are older than any backup."""
        await self.erasures.prune(self.clock.now() - timedelta(days=self.settings.files_erasures_days))

    async def reconcile(self, file_id: UUID) -> None:
        """Mark a file ready, and its missing renditions failed, if it is `processing` without a job."""
        async with self.transaction():
            if not await self.files.lock_processing(file_id):
                return
            if not (await self.jobs.of_resources([file_id]))[file_id]:
                await self.files.mark_renditions_failed(file_id, problem_of(WorkNotFinished()))
                await self.files.set_status(file_id, FileStatus.READY)

    async def delete(self, file_id: UUID) -> None:
        """Delete a file for good, and its bytes if no other file has them."""
        owner_id = await self.storage.owner_of(file_id)
        if owner_id is None:
            return
        async with self.transaction():
            await self.storage.lock_usage(owner_id)
            deleted, keys = await self.storage.delete_file(file_id)
            if deleted is None:
                return
            if deleted.sha256 is not None:
                keys += await self.storage.remove_blob_copies(deleted.sha256)
            await self.storage.adjust_usage(deleted.owner_id, added=-deleted.size, removed=1)
            await enqueue_erase(self.outbox, keys)

    async def _delete_upload(self, file_id: UUID, owner_id: UUID) -> None:
        async with self.transaction():
            await self.storage.lock_usage(owner_id)
            deleted = await self.storage.abandon(file_id)
            if deleted is None or deleted.upload_key is None:
                return
            await self.storage.adjust_usage(deleted.owner_id, released=deleted.reserved, removed=1)
            await enqueue_erase(self.outbox, [deleted.upload_key])
