"""Taking in a file: promised, streamed, kept; or nothing of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from domains.files.errors import FileTooLarge, QuotaExceeded, StoreUnavailable, UploadTorn
from domains.files.models import File, FileStatus, Rendition
from domains.files.public import RESOURCE_TYPE, FileStored
from domains.files.repository.files import FileRepository
from domains.files.repository.ledger import LedgerRepository
from domains.files.schemas import Details, FileBody
from domains.files.service.cleaning import erase_later
from domains.files.service.library import LibraryService
from domains.files.service.ports import Sniffer, Store
from domains.files.service.receiving import Intake
from domains.files.service.recipes import recipes_for
from domains.files.service.room import Quota, Room
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
"""Bytes that are promised at a time to an upload that doesn't say how long it is."""
_FORM_ROOM = 2 << 20
"""Bytes that a form may have around its file."""


@dataclass(frozen=True, slots=True)
class Incoming:
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
        ledger: LedgerRepository,
        store: Store,
        outbox: Outbox,
        sniff: Sniffer,
        library: LibraryService,
        accounts: AccountLock,
        room: Room,
    ) -> None:
        self.settings = settings
        self.transaction = transaction
        self.files = files
        self.ledger = ledger
        self.store = store
        self.outbox = outbox
        self.sniff = sniff
        self.library = library
        self.accounts = accounts
        self.room = room

    async def receive(self, incoming: Incoming) -> FileBody:
        """Stream an upload into the store and keep it. No connection is held while the bytes arrive.

        Raises:
            SessionEnded: meanwhile the caller's session has ended, or the account may not act any more.
            FileTooLarge, QuotaExceeded: past a limit.
            TypeRefused: the bytes are of a type that isn't accepted.
            DigestMismatch: they are not those that the client meant to send.
            StoreFull, StoreUnavailable: they can't be stored.
        """
        upload = await self._begin(incoming)
        async with self._or_nothing(upload):
            intake = Intake(
                incoming.chunks,
                settings=self.settings,
                sniff=self.sniff,
                make_room=_Promise(self, upload).cover,
                expected_digest=incoming.digest,
            )
            await self._store(upload, intake)
            ordered = await self._keep(upload, intake, incoming.details())
            after_rollback(partial(self._abandon, upload))
        return await self.library.get(upload.file_id, incoming.caller.user_id, ordered=ordered)

    async def _store(self, upload: "_Upload", intake: Intake) -> None:
        try:
            await self.store.put(upload.key, intake.passing())
        except StoreUnavailable:
            # The bytes of an owner who is erased vanish while they arrive: then the store is not to blame.
            async with self.transaction(own=True):
                await self.accounts.lock_caller(upload.caller)
            raise
        upload.stored = True

    async def _begin(self, incoming: Incoming) -> "_Upload":
        """Commit the row and the promise before the first byte, so that a sweep finds what a crash leaves."""
        self._refuse_too_long(incoming)
        quota = await self.room.of(incoming.caller.user_id)
        upload = _Upload(new_id(), incoming.caller, f"blobs/{new_id()}", incoming.name)
        async with self.transaction(own=True):
            await self.accounts.lock_caller(incoming.caller)
            await self.ledger.open_account(upload.owner_id)
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

    def _refuse_too_long(self, incoming: Incoming) -> None:
        """Refuse by what the client says, before a byte is read; what it doesn't say is counted later."""
        limit = self.settings.files_max_bytes
        if (incoming.length or 0) > limit or (incoming.at_most or 0) > limit + _FORM_ROOM:
            raise FileTooLarge(limit=limit)

    async def _reserve_first(self, incoming: Incoming, quota: Quota) -> int:
        """Promise all at once where the length is known; else a guess, or nothing yet when that doesn't fit."""
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
        if not await self.ledger.reserve(
            owner_id, amount, files=files, quota=quota.max_bytes, max_files=quota.max_files
        ):
            raise QuotaExceeded(quota_bytes=quota.max_bytes, max_count=quota.max_files)

    async def reserve_more(self, upload: "_Upload", amount: int) -> None:
        """Promise more bytes to an upload under way."""
        quota = await self.room.of(upload.owner_id)
        async with self.transaction(own=True):
            await self.accounts.lock_caller(upload.caller)
            await self._reserve(upload.owner_id, amount, quota)
            if not await self.ledger.reserved_more(upload.file_id, amount):
                raise UploadTorn
        upload.reserved += amount

    async def _keep(self, upload: "_Upload", intake: Intake, details: Details) -> list[UUID]:
        """Make the upload a file: bytes counted once, quota settled, work ordered, all in one transaction.

        Returns the ids of the jobs that were ordered.
        """
        recipes = recipes_for(intake.content_type)
        async with self.transaction():
            await self.accounts.lock_caller(upload.caller)
            await self.ledger.settle(upload.owner_id, added=intake.size, released=upload.reserved)
            is_new = await self.ledger.keep_blob(intake.sha256, intake.size, upload.key)
            if not is_new:
                await erase_later(self.outbox, [upload.key])
            kept = await self.ledger.mark_stored(
                upload.file_id,
                name=upload.name,
                size=intake.size,
                type=intake.content_type,
                facts={"charset": intake.charset} if intake.charset else {},
                sha256=intake.sha256,
                metadata=details.metadata,
                tags=details.tags,
                status=FileStatus.PROCESSING if recipes else FileStatus.READY,
            )
            if not kept:
                raise UploadTorn
            await self.files.add_renditions(
                [
                    Rendition(
                        file_id=upload.file_id,
                        name=recipe.name,
                        content_type=recipe.content_type,
                        storage_key=recipe.storage_key(upload.file_id),
                    )
                    for recipe in recipes
                ]
            )
            await self.files.set_text(upload.file_id, upload.owner_id, upload.name, [])
            return await self._announce(upload, has_work=bool(recipes))

    async def _announce(self, upload: "_Upload", *, has_work: bool) -> list[UUID]:
        event = FileStored(owner_id=upload.owner_id, file_id=upload.file_id)
        await self.outbox.publish(event)
        if not has_work:
            return []
        resource = Resource(type=RESOURCE_TYPE, id=upload.file_id)
        options = JobOptions(owner_id=upload.owner_id, resource=resource)
        return [await self.outbox.enqueue("files.process", event, options)]

    @asynccontextmanager
    async def _or_nothing(self, upload: "_Upload") -> AsyncIterator[None]:
        """Leave no row, no promise and no object of an upload that fails, whoever or whatever ends it."""
        try:
            yield
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._abandon(upload)))
            raise

    async def _abandon(self, upload: "_Upload") -> None:
        try:
            async with self.transaction(own=True):
                await self.ledger.lock_usage(upload.owner_id)
                gone = await self.ledger.abandon(upload.file_id)
                if gone is not None:
                    await self.ledger.settle(gone.owner_id, released=gone.reserved, removed=1)
                # No row: it was kept after all, or erased with its owner, perhaps before its bytes were stored.
                if upload.stored and not await self.ledger.names(upload.file_id, upload.key):
                    await erase_later(self.outbox, [upload.key])
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
    """Bytes promised so far."""
    stored: bool = False

    @property
    def owner_id(self) -> UUID:
        """Whose it is."""
        return self.caller.user_id


class _Promise:
    """Asks for more room, in steps, as an upload grows past what it was promised."""

    def __init__(self, service: UploadService, upload: _Upload) -> None:
        self._service = service
        self._upload = upload

    async def cover(self, size: int) -> None:
        """Make sure that `size` bytes are promised. Raises QuotaExceeded."""
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
