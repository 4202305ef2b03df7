"""Receive an upload: reserve, stream, commit; or nothing of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domains.files.errors import FileTooLarge, QuotaExceeded, StoreUnavailable, UploadInterrupted
from domains.files.job_types import PROCESS
from domains.files.models import File, FileStatus, Rendition
from domains.files.public import RESOURCE_TYPE, FileStored
from domains.files.repository.files import FileRepository
from domains.files.repository.quota import QuotaRepository
from domains.files.schemas import Details, FileBody
from domains.files.service.cleaning import enqueue_erase
from domains.files.service.file_service import FileService
from domains.files.service.ports import Sniffer, Store
from domains.files.service.quota_limits import Quota, QuotaLimits
from domains.files.service.rendition_specs import rendition_specs_for
from domains.files.service.upload_stream import UploadStream
from domains.files.settings import FilesSettings
from shared.db.database import TransactionFactory
from shared.db.transaction import after_rollback
from shared.events import Resource
from shared.identity import AccountLock, Principal
from shared.ids import new_id
from shared.jobs import JobOptions, Outbox
from shared.logging import get_logger

logger = get_logger(__name__)
_STEP = 64 << 20
"""Bytes that are reserved at a time for an upload that doesn't say how long it is."""
_FORM_OVERHEAD = 2 << 20
"""Bytes that a form may have around its file."""


@dataclass(frozen=True, slots=True)
class IncomingUpload:
    """An upload as it arrives. `details` is asked when all chunks were read: fields may follow the file."""

    caller: Principal
    name: str
    declared_content_type: str | None
    length: int | None
    """How many bytes there will be, if the client says so exactly."""
    at_most: int | None
    """How many bytes there will be at most, if the client says so."""
    digest: bytes | None
    """The SHA-256 that the client says they have."""
    chunks: AsyncIterator[bytes]
    details: Callable[[], Details]


class UploadService:
    """Receives files."""

    def __init__(
        self,
        *,
        settings: FilesSettings,
        transaction: TransactionFactory,
        files: FileRepository,
        quota: QuotaRepository,
        store: Store,
        outbox: Outbox,
        sniff: Sniffer,
        file_service: FileService,
        accounts: AccountLock,
        quota_limits: QuotaLimits,
    ) -> None:
        self.settings = settings
        self.transaction = transaction
        self.files = files
        self.quota = quota
        self.store = store
        self.outbox = outbox
        self.sniff = sniff
        self.file_service = file_service
        self.accounts = accounts
        self.quota_limits = quota_limits

    async def receive(self, incoming: IncomingUpload) -> FileBody:
        """Stream an upload into the store and keep it. No connection is held while the bytes arrive.

        Raises:
            SessionEnded: meanwhile the caller's session has ended, or the account may not act any more.
            FileTooLarge, QuotaExceeded: past a limit.
            TypeRefused: the bytes are of a type that isn't accepted.
            DigestMismatch: they are not those that the client meant to send.
            StoreFull, StoreUnavailable: they can't be stored.
        """
        upload = await self._begin(incoming)
        async with self._abandon_on_failure(upload):
            upload_stream = UploadStream(
                incoming.chunks,
                settings=self.settings,
                sniff=self.sniff,
                reserve=_Reservation(self, upload).extend_to,
                expected_digest=incoming.digest,
            )
            await self._store(upload, upload_stream)
            ordered = await self._keep(upload, upload_stream, incoming.details())
            after_rollback(partial(self._abandon, upload))
        return await self.file_service.get(upload.file_id, incoming.caller.user_id, ordered=ordered)

    async def _store(self, upload: "_Upload", upload_stream: UploadStream) -> None:
        try:
            await self.store.put(upload.key, upload_stream.checked_chunks())
        except StoreUnavailable:
            # The bytes of an owner who is erased vanish while they arrive: then the store is not to blame.
            async with self.transaction(separate=True):
                await self.accounts.lock_caller(upload.caller)
            raise
        upload.stored = True

    async def _begin(self, incoming: IncomingUpload) -> "_Upload":
        """Commit the row and the reservation before the first byte, so that a sweep finds what a crash leaves."""
        self._refuse_too_long(incoming)
        quota = await self.quota_limits.of(incoming.caller.user_id)
        upload = _Upload(new_id(), incoming.caller, f"blobs/{new_id()}", incoming.name)
        async with self.transaction(separate=True):
            await self.accounts.lock_caller(incoming.caller)
            await self.quota.create_usage(upload.owner_id)
            upload.reserved = await self._reserve_first(incoming, quota)
            await self.files.add(
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
        """Refuse by what the client says, before a byte is read; what it doesn't say is counted later."""
        limit = self.settings.files_max_bytes
        if (incoming.length or 0) > limit or (incoming.at_most or 0) > limit + _FORM_OVERHEAD:
            raise FileTooLarge(limit=limit)

    async def _reserve_first(self, incoming: IncomingUpload, quota: Quota) -> int:
        """Reserve all at once where the length is known; else a guess, or nothing yet when that doesn't fit."""
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
        if not await self.quota.reserve(
            owner_id, amount, files=files, quota=quota.max_bytes, max_files=quota.max_files
        ):
            raise QuotaExceeded(quota_bytes=quota.max_bytes, max_count=quota.max_files)

    async def reserve_more(self, upload: "_Upload", amount: int) -> None:
        """Reserve more bytes for an upload under way."""
        quota = await self.quota_limits.of(upload.owner_id)
        async with self.transaction(separate=True):
            await self.accounts.lock_caller(upload.caller)
            await self._reserve(upload.owner_id, amount, quota)
            if not await self.quota.extend_reservation(upload.file_id, amount):
                raise UploadInterrupted
        upload.reserved += amount

    async def _keep(self, upload: "_Upload", upload_stream: UploadStream, details: Details) -> list[UUID]:
        """Make the upload a file: bytes counted once, quota adjusted, jobs enqueued, all in one transaction.

        Returns the ids of the jobs that were ordered.
        """
        specs = rendition_specs_for(upload_stream.content_type)
        async with self.transaction():
            await self.accounts.lock_caller(upload.caller)
            await self.quota.adjust_usage(upload.owner_id, added=upload_stream.size, released=upload.reserved)
            is_new = await self.quota.add_blob_copy(upload_stream.sha256, upload_stream.size, upload.key)
            if not is_new:
                await enqueue_erase(self.outbox, [upload.key])
            kept = await self.quota.mark_stored(
                upload.file_id,
                name=upload.name,
                size=upload_stream.size,
                type=upload_stream.content_type,
                facts={"charset": upload_stream.charset} if upload_stream.charset else {},
                sha256=upload_stream.sha256,
                metadata=details.metadata,
                tags=details.tags,
                status=FileStatus.PROCESSING if specs else FileStatus.READY,
            )
            if not kept:
                raise UploadInterrupted
            await self.files.add_renditions(
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
        event = FileStored(owner_id=upload.owner_id, file_id=upload.file_id)
        await self.outbox.publish(event)
        if not has_work:
            return []
        resource = Resource(type=RESOURCE_TYPE, id=upload.file_id)
        options = JobOptions(owner_id=upload.owner_id, resource=resource)
        return [await self.outbox.enqueue(PROCESS, event, options)]

    @asynccontextmanager
    async def _abandon_on_failure(self, upload: "_Upload") -> AsyncIterator[None]:
        """Leave no row, no reservation and no object of an upload that fails, whoever or whatever ends it."""
        try:
            yield
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._abandon(upload)))
            raise

    async def _abandon(self, upload: "_Upload") -> None:
        try:
            async with self.transaction(separate=True):
                await self.quota.lock_usage(upload.owner_id)
                gone = await self.quota.abandon(upload.file_id)
                if gone is not None:
                    await self.quota.adjust_usage(gone.owner_id, released=gone.reserved, removed=1)
                # No row: it was kept after all, or erased with its owner, perhaps before its bytes were stored.
                if upload.stored and not await self.quota.is_referenced(upload.file_id, upload.key):
                    await enqueue_erase(self.outbox, [upload.key])
        except Exception:
            # The sweep finds the row: the first failure is the one that the client must see.
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
        """Whose it is."""
        return self.caller.user_id


class _Reservation:
    """Reserves more bytes, in steps, as an upload grows past its reservation."""

    def __init__(self, service: UploadService, upload: _Upload) -> None:
        self._service = service
        self._upload = upload

    async def extend_to(self, size: int) -> None:
        """Make sure that `size` bytes are reserved. Raises QuotaExceeded."""
        missing = size - self._upload.reserved
        if missing <= 0:
            return
        try:
            await self._service.reserve_more(self._upload, max(missing, _STEP))
        except QuotaExceeded:
            # Near the end of the quota a step may not fit while the bytes themselves do.
            if missing >= _STEP:
                raise
            await self._service.reserve_more(self._upload, missing)
