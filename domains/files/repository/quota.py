"""The SQL about bytes: reserved bytes, used bytes, and which stored bytes nobody has any more."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.files.models import Blob, File, FileStatus, FileText, Rendition, Usage
from domains.files.schemas import BlobRow, IdRow, KeyRow, OwnerRow, PurgedRow, UploadRow, UsageRow
from shared.db.models import columns
from shared.db.repository import Repository
from shared.db.statement import Nothing, Statement

_BATCH = 1000
"""Rows that one statement of the sweep takes."""


def _number(name: str) -> Any:
    return bindparam(name, type_=BigInteger)


_OF_OWNER = col(Usage.owner_id) == bindparam("owner")
_CREATE_USAGE = Statement(
    insert(Usage).values(owner_id=bindparam("owner"), bytes=0, reserved=0, count=0).on_conflict_do_nothing(),
    Nothing,
)
_FITS_QUOTA = col(Usage.bytes) + col(Usage.reserved) + _number("amount") <= _number("quota")
_RESERVE = Statement(
    update(Usage)
    .where(_OF_OWNER, _FITS_QUOTA, col(Usage.count) + _number("files") <= _number("max_files"))
    .values(reserved=Usage.reserved + _number("amount"), count=Usage.count + _number("files")),
    Nothing,
)
_EXTEND_RESERVATION = Statement(
    update(File)
    .where(col(File.id) == bindparam("file"), col(File.status) == FileStatus.UPLOADING)
    .values(reserved=File.reserved + _number("amount")),
    Nothing,
)
_ADJUST_USAGE = Statement(
    update(Usage)
    .where(_OF_OWNER)
    .values(
        bytes=Usage.bytes + _number("added"),
        reserved=Usage.reserved - _number("released"),
        count=Usage.count - _number("removed"),
    ),
    Nothing,
)
_USAGE = Statement(select(*columns(Usage, UsageRow)).where(_OF_OWNER), UsageRow)

_LOCK_USAGE = Statement(select(*columns(Usage, UsageRow)).where(_OF_OWNER).with_for_update(), UsageRow)
_BYTES_AT = select(col(Blob.sha256)).where(col(Blob.storage_key) == bindparam("key")).scalar_subquery()
_IS_REFERENCED = Statement(
    select(col(File.id))
    .where(or_(col(File.id) == bindparam("file"), col(File.sha256) == _BYTES_AT))
    .limit(1),
    IdRow,
)

_STORE = Statement(
    update(File)
    .where(col(File.id) == bindparam("file"), col(File.status) == FileStatus.UPLOADING)
    .values(
        name=bindparam("new_name"),
        size=_number("new_size"),
        content_type=bindparam("new_type"),
        facts=bindparam("new_facts"),
        sha256=bindparam("new_sha256"),
        client_metadata=bindparam("new_metadata"),
        tags=bindparam("new_tags"),
        status=bindparam("new_status"),
        upload_key=None,
        reserved=0,
        updated_at=func.now(),
    ),
    Nothing,
)
_ADD_BLOB_COPY = Statement(
    insert(Blob)
    .values(sha256=bindparam("digest"), size=_number("length"), storage_key=bindparam("key"), copies=1)
    .on_conflict_do_update(index_elements=[col(Blob.sha256)], set_={"copies": Blob.copies + 1})
    .returning(col(Blob.storage_key), col(Blob.copies)),
    BlobRow,
)
_REMOVE_BLOB_COPIES = Statement(
    update(Blob)
    .where(col(Blob.sha256) == bindparam("digest"))
    .values(copies=Blob.copies - _number("fewer"))
    .returning(col(Blob.storage_key), col(Blob.copies)),
    BlobRow,
)
_DELETE_BLOB = Statement(
    delete(Blob).where(col(Blob.sha256) == bindparam("digest"), col(Blob.copies) == 0), Nothing
)

_PURGED = columns(File, PurgedRow)
_PURGE = Statement(delete(File).where(col(File.id) == bindparam("file")).returning(*_PURGED), PurgedRow)
_ABANDON = Statement(
    delete(File)
    .where(col(File.id) == bindparam("file"), col(File.status) == FileStatus.UPLOADING)
    .returning(*_PURGED),
    PurgedRow,
)
_PURGE_RENDITIONS = Statement(
    delete(Rendition)
    .where(col(Rendition.file_id) == bindparam("file"))
    .returning(col(Rendition.storage_key)),
    KeyRow,
)
_OWN_FILES = select(col(File.id)).where(col(File.owner_id) == bindparam("owner"))
_LOCK_OWNER_FILES = Statement(
    select(col(File.id))
    .where(col(File.owner_id) == bindparam("owner"))
    .order_by(col(File.id))
    .with_for_update(),
    IdRow,
)
_LOCK_FILE = Statement(select(col(File.id)).where(col(File.id) == bindparam("file")).with_for_update(), IdRow)
_PURGE_OWNER_RENDITIONS = Statement(
    delete(Rendition).where(col(Rendition.file_id).in_(_OWN_FILES)).returning(col(Rendition.storage_key)),
    KeyRow,
)
_PURGE_OWNER_TEXTS = Statement(delete(FileText).where(col(FileText.owner_id) == bindparam("owner")), Nothing)
_PURGE_OWNER_FILES = Statement(
    delete(File).where(col(File.owner_id) == bindparam("owner")).returning(*_PURGED), PurgedRow
)
_DELETE_USAGE = Statement(delete(Usage).where(_OF_OWNER), Nothing)

_ABANDONED = Statement(
    select(*columns(File, UploadRow))
    .where(col(File.status) == FileStatus.UPLOADING, col(File.updated_at) < bindparam("before"))
    .limit(_BATCH),
    UploadRow,
)
_OWNER_OF = Statement(select(col(File.owner_id)).where(col(File.id) == bindparam("file")), OwnerRow)
_EXPIRED = Statement(
    select(col(File.id))
    .where(col(File.deleted_at) < bindparam("before"))
    .order_by(col(File.deleted_at))
    .limit(_BATCH),
    IdRow,
)


class QuotaRepository(Repository):
    """Reserves, counts and releases bytes. Everything here belongs into a transaction of the service."""

    async def create_usage(self, owner_id: UUID) -> None:
        """Make sure that this person has a row to count in."""
        await self.database.execute(_CREATE_USAGE, owner=owner_id)

    async def reserve(self, owner_id: UUID, amount: int, *, files: int, quota: int, max_files: int) -> bool:
        """Reserve `amount` bytes and `files` files if the quota has room for both; return whether it has."""
        return (
            await self.database.execute(
                _RESERVE, owner=owner_id, amount=amount, files=files, quota=quota, max_files=max_files
            )
            > 0
        )

    async def extend_reservation(self, file_id: UUID, amount: int) -> bool:
        """Add `amount` bytes to the reservation of an upload; return whether it is still under way."""
        return await self.database.execute(_EXTEND_RESERVATION, file=file_id, amount=amount) > 0

    async def adjust_usage(
        self, owner_id: UUID, *, added: int = 0, released: int = 0, removed: int = 0
    ) -> None:
        """Count `added` bytes (negative when they went), `released` reserved bytes and `removed` files."""
        await self.database.execute(
            _ADJUST_USAGE, owner=owner_id, added=added, released=released, removed=removed
        )

    async def lock_usage(self, owner_id: UUID) -> None:
        """Lock what a person keeps before any file of theirs: the first lock of whatever changes both."""
        await self.database.fetch_one(_LOCK_USAGE, owner=owner_id)

    async def is_referenced(self, file_id: UUID, key: str) -> bool:
        """Tell whether there is this file, or a file whose bytes are at this key."""
        return await self.database.fetch_one(_IS_REFERENCED, file=file_id, key=key) is not None

    async def usage(self, owner_id: UUID) -> UsageRow:
        """Return what a person keeps."""
        return await self.database.fetch_one(_USAGE, owner=owner_id) or UsageRow(bytes=0, reserved=0, count=0)

    async def mark_stored(self, file_id: UUID, **values: Any) -> bool:
        """Turn an upload into a stored file; return whether it was still under way."""
        named = {f"new_{name}": value for name, value in values.items()}
        return await self.database.execute(_STORE, file=file_id, **named) > 0

    async def add_blob_copy(self, sha256: str, size: int, storage_key: str) -> bool:
        """Count one more file with these bytes; return whether the bytes at `storage_key` are the ones kept."""
        kept = await self.database.fetch_one(_ADD_BLOB_COPY, digest=sha256, length=size, key=storage_key)
        return kept is not None and kept.storage_key == storage_key

    async def remove_blob_copies(self, sha256: str, *, fewer: int = 1) -> str | None:
        """Count fewer files with these bytes; return the key of bytes that nobody has any more."""
        left = await self.database.fetch_one(_REMOVE_BLOB_COPIES, digest=sha256, fewer=fewer)
        if left is None or left.copies > 0:
            return None
        await self.database.execute(_DELETE_BLOB, digest=sha256)
        return left.storage_key

    async def abandon(self, file_id: UUID) -> PurgedRow | None:
        """Delete an upload that is still under way."""
        return await self.database.fetch_one(_ABANDON, file=file_id)

    async def purge(self, file_id: UUID) -> tuple[PurgedRow | None, list[str]]:
        """Delete a file for good; return what it had, and the keys of its renditions."""
        await self.database.fetch_one(_LOCK_FILE, file=file_id)
        renditions = await self.database.fetch_all(_PURGE_RENDITIONS, file=file_id)
        purged = await self.database.fetch_one(_PURGE, file=file_id)
        return purged, [row.storage_key for row in renditions]

    async def purge_owner(self, owner_id: UUID) -> list[str]:
        """Delete all files of a person and the count; return the keys of bytes that nobody has any more."""
        await self.lock_usage(owner_id)
        await self.database.fetch_all(_LOCK_OWNER_FILES, owner=owner_id)
        keys = [
            row.storage_key for row in await self.database.fetch_all(_PURGE_OWNER_RENDITIONS, owner=owner_id)
        ]
        await self.database.execute(_PURGE_OWNER_TEXTS, owner=owner_id)
        purged = await self.database.fetch_all(_PURGE_OWNER_FILES, owner=owner_id)
        keys += [row.upload_key for row in purged if row.upload_key]
        copies = Counter(row.sha256 for row in purged if row.sha256)
        # In one order for everybody, so that two purges never wait for each other.
        for sha256 in sorted(copies):
            key = await self.remove_blob_copies(sha256, fewer=copies[sha256])
            keys += [key] if key else []
        await self.database.execute(_DELETE_USAGE, owner=owner_id)
        return keys

    async def abandoned(self, before: datetime) -> Sequence[UploadRow]:
        """Return some uploads that nothing has moved since that moment."""
        return await self.database.fetch_all(_ABANDONED, before=before)

    async def expired(self, before: datetime) -> Sequence[UUID]:
        """Return some files that went to the trash before that moment."""
        return [row.id for row in await self.database.fetch_all(_EXPIRED, before=before)]

    async def owner_of(self, file_id: UUID) -> UUID | None:
        """Return whose a file is."""
        found = await self.database.fetch_one(_OWNER_OF, file=file_id)
        return found.owner_id if found else None
