"""Uploads: quota is reserved, bytes are streamed, the file is committed; or nothing is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domains.files.errors import FileTooLarge, QuotaExceeded, StoreUnavailable, UploadInterrupted
from domains.files.gateway.store import ObjectFiles
from domains.files.models import File, FileStatus, Rendition
from domains.files.public import FileStored
from domains.files.repository.files import FileRepository
from domains.files.repository.storage import StorageRepository
from domains.files.schemas.bodies import FileBody, FileCreate
from domains.files.service.cleaning import enqueue_erase
from domains.files.service.file_service import FileService
from domains.files.service.processing import enqueue_processing
from domains.files.service.quota_limits import Quota, QuotaLimits
from domains.files.service.rendition_specs import rendition_specs_for
from domains.files.service.upload_stream import UploadStream
from domains.files.settings import FilesSettings
from shared.db.database import TransactionFactory
from shared.db.transaction import after_rollback
from shared.identity import AccountLock, Principal
from shared.ids import new_id
from shared.jobs import Outbox
from shared.logging import get_logger

logger = get_logger(__name__)
# Large enough that steps, each a transaction, are rare; small enough to leave quota for the owner's other uploads.
_STEP = 64 << 20
"""Bytes that are reserved at a time for an upload that doesn't say how long it is."""
_FORM_OVERHEAD = 2 << 20
"""Bytes that a form may have around its file."""


@dataclass(frozen=True, slots=True)
class IncomingUpload:
    """An upload in progress. `details` is called after all chunks were read: form fields may follow the file."""

    caller: Principal
    name: str
    declared_content_type: str | None
    length: int | None
    """The exact number of bytes, if known."""
    at_most: int | None
    """The largest possible number of bytes, if known."""
    digest: bytes | None
    """The SHA-256 that the client sent."""
    # Never held in memory as a whole.
    chunks: AsyncIterator[bytes]
    details: Callable[[], FileCreate]


@dataclass(kw_only=True, eq=False)
class UploadService:
    """Receives files."""

    settings: FilesSettings
    transaction: TransactionFactory
    files: FileRepository
    storage: StorageRepository
    store: ObjectFiles
    outbox: Outbox
    file_service: FileService
    account_lock: AccountLock
    quota_limits: QuotaLimits

    async def receive(self, incoming: IncomingUpload) -> FileBody:
        """Stream an upload into the store and create the file. No connection is held while the bytes arrive.

        Raises:
            SessionEnded: meanwhile the caller's session has ended, or the account was disabled or deleted.
            FileTooLarge, QuotaExceeded: the file exceeds a limit.
            TypeRefused: the bytes are of a type that is not accepted.
            DigestMismatch: the bytes don't have the client's digest.
            StoreFull, StoreUnavailable: the bytes can't be stored.
        """
        upload = await self._begin(incoming)
        async with self._abandon_on_failure(upload):
            upload_stream = UploadStream(
                incoming.chunks,
                settings=self.settings,
                reserve=partial(self._extend_reservation, upload),
                expected_digest=incoming.digest,
            )
            await self._store(upload, upload_stream)
            job_ids = await self._keep(upload, upload_stream, incoming.details())
            # With an Idempotency-Key the request's transaction may still roll back after this method has
            # returned.
            after_rollback(partial(self._abandon, upload))
        return await self.file_service.read(upload.file_id, upload.owner_id, job_ids=job_ids)

    async def _store(self, upload: "_Upload", upload_stream: UploadStream) -> None:
        try:
            await self.store.put(upload.key, upload_stream.checked_chunks())
        except StoreUnavailable:
            # An erasure of the owner deletes the bytes while they arrive: then SessionEnded is the right error.
            async with self.transaction(separate=True):
                await self.account_lock.lock_caller(upload.caller)
            raise
        upload.stored = True

    async def _begin(self, incoming: IncomingUpload) -> "_Upload":
        """Commit the row and the reservation before the first byte, so that the sweep finds it after a crash."""
        self._refuse_too_long(incoming)
        quota = await self.quota_limits.of(incoming.caller.user_id)
        upload = _Upload(new_id(), incoming.caller, f"blobs/{new_id()}", incoming.name)
        async with self.transaction(separate=True):
            await self.account_lock.lock_caller(incoming.caller)
            await self.storage.create_usage(upload.owner_id)
            upload.reserved = await self._reserve_first(incoming, quota)
            await self.files.insert(
                File(
                    id=upload.file_id,
                    owner_id=upload.owner_id,
                    name=upload.name,
                    declared_content_type=incoming.declared_content_type,
                    upload_key=upload.key,
                    reserved=upload.reserved,
                )
            )
        return upload

    def _refuse_too_long(self, incoming: IncomingUpload) -> None:
        """Refuse by the announced length, before a byte is read; the bytes are counted later."""
        # A form also carries other fields, so its length may exceed the limit by their size.
        limit = self.settings.files_max_bytes
        if (incoming.length or 0) > limit or (incoming.at_most or 0) > limit + _FORM_OVERHEAD:
            raise FileTooLarge(limit=limit)

    async def _reserve_first(self, incoming: IncomingUpload, quota: Quota) -> int:
        """Reserve the length if it is known; else a guess, or nothing if the guess exceeds the quota."""
        if incoming.length is not None:
            await self._reserve(incoming.caller.user_id, incoming.length, quota, files=1)
            return incoming.length
        guess = min(incoming.at_most or _STEP, _STEP)
        try:
            await self._reserve(incoming.caller.user_id, guess, quota, files=1)
        except QuotaExceeded:
            await self._reserve(incoming.caller.user_id, 0, quota, files=1)
            return 0
        return guess

    async def _reserve(self, owner_id: UUID, amount: int, quota: Quota, *, files: int = 0) -> None:
        if not await self.storage.reserve(
            owner_id, amount, files=files, quota=quota.max_bytes, max_files=quota.max_files
        ):
            raise QuotaExceeded(quota_bytes=quota.max_bytes, max_count=quota.max_files)

    async def _extend_reservation(self, upload: "_Upload", size: int) -> None:
        """Reserve more bytes, in steps, until `size` bytes are reserved. Raises QuotaExceeded."""
        missing = size - upload.reserved
        if missing <= 0:
            return
        try:
            await self._reserve_more(upload, max(missing, _STEP))
        except QuotaExceeded:
            # Near the end of the quota a step may not fit while the bytes themselves do.
            if missing >= _STEP:
                raise
            await self._reserve_more(upload, missing)

    async def _reserve_more(self, upload: "_Upload", amount: int) -> None:
        quota = await self.quota_limits.of(upload.owner_id)
        async with self.transaction(separate=True):
            await self.account_lock.lock_caller(upload.caller)
            await self._reserve(upload.owner_id, amount, quota)
            if not await self.storage.extend_reservation(upload.file_id, amount):
                raise UploadInterrupted
        upload.reserved += amount

    async def _keep(self, upload: "_Upload", upload_stream: UploadStream, details: FileCreate) -> list[UUID]:
        """Turn the upload into a file: equal bytes are stored once, quota is adjusted, jobs are enqueued.

        Returns the ids of the enqueued jobs.
        """
        specs = rendition_specs_for(upload_stream.content_type)
        async with self.transaction():
            await self.account_lock.lock_caller(upload.caller)
            await self.storage.adjust_usage(
                upload.owner_id, added=upload_stream.size, released=upload.reserved
            )
            # Equal files are stored once; the quota still counts each of them, so that deleting one frees
            # its owner's quota.
            is_new = await self.storage.add_blob_copy(upload_stream.sha256, upload_stream.size, upload.key)
            if not is_new:
                await enqueue_erase(self.outbox, [upload.key])
            kept = await self.storage.mark_stored(
                upload.file_id,
                name=upload.name,
                size=upload_stream.size,
                content_type=upload_stream.content_type,
                facts={"charset": upload_stream.charset} if upload_stream.charset else {},
                sha256=upload_stream.sha256,
                metadata=details.metadata,
                tags=details.tags,
                status=FileStatus.PROCESSING if specs else FileStatus.READY,
            )
            if not kept:
                raise UploadInterrupted
            await self.files.insert_all(
                [
                    Rendition(
                        file_id=upload.file_id,
                        name=spec.name,
                        content_type=spec.content_type,
                        storage_key=spec.storage_key(upload.file_id),
                    )
                    for spec in specs
                ]
            )
            await self.files.set_text(upload.file_id, upload.owner_id, upload.name, [])
            return await self._announce(upload, has_work=bool(specs))

    async def _announce(self, upload: "_Upload", *, has_work: bool) -> list[UUID]:
        await self.outbox.publish(FileStored(owner_id=upload.owner_id, file_id=upload.file_id))
        if not has_work:
            return []
        return [await enqueue_processing(self.outbox, upload.file_id, upload.owner_id)]

    @asynccontextmanager
    async def _abandon_on_failure(self, upload: "_Upload") -> AsyncIterator[None]:
        """Remove row, reservation and object of an upload that fails or is cancelled."""
        try:
            yield
        except BaseException:
            # Shielded: the cancellation of the request must not interrupt the cleanup.
            await asyncio.shield(asyncio.ensure_future(self._abandon(upload)))
            raise

    async def _abandon(self, upload: "_Upload") -> None:
        try:
            async with self.transaction(separate=True):
                # Usage before file: all transactions lock in this order.
                await self.storage.lock_usage(upload.owner_id)
                gone = await self.storage.abandon(upload.file_id)
                if gone is not None:
                    await self.storage.adjust_usage(gone.owner_id, released=gone.reserved, removed=1)
                # Without a row it was kept after all, or erased with its owner, perhaps before its bytes were stored.
                if upload.stored and not await self.storage.is_referenced(upload.file_id, upload.key):
                    await enqueue_erase(self.outbox, [upload.key])
        except Exception:
            # The sweep finds the row; the client must see the first failure.
            logger.exception("upload_not_abandoned", file_id=str(upload.file_id))


@dataclass(slots=True)
class _Upload:
    file_id: UUID
    caller: Principal
    key: str
    name: str
    reserved: int = 0
    """Bytes reserved so far."""
    stored: bool = False

    @property
    def owner_id(self) -> UUID:
        return self.caller.user_id
