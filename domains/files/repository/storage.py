"""SQL of storage: quotas, usage, blobs, and the deletion of files."""

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from domains.files.models import Blob, File, FileStatus, FileText, Rendition, Usage
from domains.files.schemas.rows import BlobRow, OwnedFileRow, PurgedRow, TotalsRow, UsageRow
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository

_BATCH = 1000
"""Rows that one statement of the sweep returns."""


def _bytes(name: str) -> Any:
    return param(name, BigInteger)


def _number_of(status: FileStatus) -> Any:
    found = select(func.count()).select_from(File).where(col(File.status) == status)
    return found.scalar_subquery().label(status.value)


_OF_OWNER = col(Usage.owner_id) == param("owner_id")
_USAGE = select(*columns(Usage, UsageRow)).where(_OF_OWNER)
_FITS = col(Usage.bytes) + col(Usage.reserved) + _bytes("amount") <= _bytes("quota")
_BY_ID = col(File.id) == param("file_id")
_BY_OWNER = col(File.owner_id) == param("owner_id")
_IS_UPLOADING = col(File.status) == FileStatus.UPLOADING
_PURGED = columns(File, PurgedRow)
_BLOB = columns(Blob, BlobRow)
_BY_DIGEST = col(Blob.sha256) == param("sha256")


class StorageRepository(Repository):
    """Reserves, counts and releases bytes. All that writes needs an open transaction."""

    @query(
        insert(Usage)
        .values(owner_id=param("owner_id"), bytes=0, reserved=0, count=0)
        .on_conflict_do_nothing()
    )
    async def create_usage(self, owner_id: UUID) -> None:
        """Insert a person's usage, unless it exists."""

    @query(_USAGE)
    async def _usage(self, owner_id: UUID) -> UsageRow | None:
        """Return a person's usage."""

    async def usage(self, owner_id: UUID) -> UsageRow:
        """Return a person's usage."""
        return await self._usage(owner_id) or UsageRow(bytes=0, reserved=0, count=0)

    @query(_USAGE.with_for_update())
    async def lock_usage(self, owner_id: UUID) -> bool:
        """Lock a person's usage: before any file of theirs, in each transaction that changes both."""

    @query(
        select(
            func.coalesce(func.sum(Usage.bytes), 0).label("bytes"),
            func.coalesce(func.sum(Usage.reserved), 0).label("reserved"),
            func.coalesce(func.sum(Usage.count), 0).label("count"),
            _number_of(FileStatus.UPLOADING),
            _number_of(FileStatus.PROCESSING),
        )
    )
    async def totals(self) -> TotalsRow:
        """Return the sums over all people, who have a row each however many files they have."""

    @query(
        update(Usage)
        .where(_OF_OWNER, _FITS, col(Usage.count) + _bytes("files") <= _bytes("max_files"))
        .values(reserved=Usage.reserved + _bytes("amount"), count=Usage.count + _bytes("files"))
    )
    async def reserve(self, owner_id: UUID, amount: int, *, files: int, quota: int, max_files: int) -> bool:
        """Reserve `amount` bytes and `files` files if the quota has room for both; return whether it has."""

    @query(update(File).where(_BY_ID, _IS_UPLOADING).values(reserved=File.reserved + _bytes("amount")))
    async def extend_reservation(self, file_id: UUID, amount: int) -> bool:
        """Add `amount` bytes to the reservation of an upload; return whether it is still in progress."""

    @query(
        update(Usage)
        .where(_OF_OWNER)
        .values(
            bytes=Usage.bytes + _bytes("added"),
            reserved=Usage.reserved - _bytes("released"),
            count=Usage.count - _bytes("removed"),
        )
    )
    async def adjust_usage(
        self, owner_id: UUID, *, added: int = 0, released: int = 0, removed: int = 0
    ) -> None:
        """Add `added` bytes (may be negative), release `released` reserved bytes and remove `removed` files."""

    @query(
        update(File)
        .where(_BY_ID, _IS_UPLOADING)
        .values(
            name=param("name"),
            size=_bytes("size"),
            content_type=param("content_type"),
            facts=param("facts"),
            sha256=param("sha256"),
            client_metadata=param("metadata"),
            tags=param("tags"),
            status=param("status"),
            upload_key=None,
            reserved=0,
            updated_at=func.now(),
        )
    )
    async def mark_stored(
        self,
        file_id: UUID,
        *,
        name: str,
        size: int,
        content_type: str,
        facts: dict[str, Any],
        sha256: str,
        metadata: dict[str, Any],
        tags: list[str],
        status: FileStatus,
    ) -> bool:
        """Turn an upload into a stored file; return whether it was still in progress."""

    @query(
        insert(Blob)
        .values(sha256=param("sha256"), size=_bytes("size"), storage_key=param("storage_key"), copies=1)
        .on_conflict_do_update(index_elements=[col(Blob.sha256)], set_={"copies": Blob.copies + 1})
        .returning(*_BLOB)
    )
    async def _add_blob_copy(self, sha256: str, size: int, storage_key: str) -> BlobRow:
        """Count one more file with these bytes."""

    async def add_blob_copy(self, sha256: str, size: int, storage_key: str) -> bool:
        """Count one more file with these bytes; return whether those at `storage_key` are the stored ones."""
        return (await self._add_blob_copy(sha256, size, storage_key)).storage_key == storage_key

    @query(update(Blob).where(_BY_DIGEST).values(copies=Blob.copies - _bytes("fewer")).returning(*_BLOB))
    async def _remove_blob_copies(self, sha256: str, fewer: int) -> BlobRow | None:
        """Count fewer files with these bytes."""

    @query(delete(Blob).where(_BY_DIGEST, col(Blob.copies) == 0))
    async def _delete_blob(self, sha256: str) -> None:
        """Delete a blob that no file has."""

    async def remove_blob_copies(self, sha256: str, *, fewer: int = 1) -> list[str]:
        """Count fewer files with these bytes; return the key of the object if no file has them any more."""
        left = await self._remove_blob_copies(sha256, fewer)
        if left is None or left.copies > 0:
            return []
        await self._delete_blob(sha256)
        return [left.storage_key]

    @query(
        select(col(File.id))
        .where(
            or_(
                _BY_ID,
                col(File.sha256)
                == select(col(Blob.sha256)).where(col(Blob.storage_key) == param("key")).scalar_subquery(),
            )
        )
        .limit(1)
    )
    async def is_referenced(self, file_id: UUID, key: str) -> bool:
        """Return whether this file exists, or a file whose bytes are at this key."""

    @query(delete(File).where(_BY_ID, _IS_UPLOADING).returning(*_PURGED))
    async def abandon(self, file_id: UUID) -> PurgedRow | None:
        """Delete an upload that is still in progress."""

    @query(select(col(File.id)).where(_BY_ID).with_for_update())
    async def _lock_file(self, file_id: UUID) -> bool:
        """Lock a file of any owner."""

    @query(
        delete(Rendition)
        .where(col(Rendition.file_id) == param("file_id"))
        .returning(col(Rendition.storage_key))
    )
    async def _delete_renditions(self, file_id: UUID) -> list[str]:
        """Delete the renditions of a file; return their keys."""

    @query(delete(File).where(_BY_ID).returning(*_PURGED))
    async def _delete_row(self, file_id: UUID) -> PurgedRow | None:
        """Delete a file."""

    async def delete_file(self, file_id: UUID) -> tuple[PurgedRow | None, list[str]]:
        """Delete a file and its renditions; return what it occupied, and the keys of its renditions."""
        await self._lock_file(file_id)
        keys = await self._delete_renditions(file_id)
        return await self._delete_row(file_id), keys

    @query(select(col(File.id)).where(_BY_OWNER).order_by(col(File.id)).with_for_update())
    async def _lock_files_of(self, owner_id: UUID) -> list[UUID]:
        """Lock all files of a person."""

    @query(
        delete(Rendition)
        .where(col(Rendition.file_id).in_(select(col(File.id)).where(_BY_OWNER)))
        .returning(col(Rendition.storage_key))
    )
    async def _delete_renditions_of(self, owner_id: UUID) -> list[str]:
        """Delete all renditions of a person; return their keys."""

    @query(delete(FileText).where(col(FileText.owner_id) == param("owner_id")))
    async def _delete_texts_of(self, owner_id: UUID) -> None:
        """Delete all texts of a person."""

    @query(delete(File).where(_BY_OWNER).returning(*_PURGED))
    async def _delete_files_of(self, owner_id: UUID) -> list[PurgedRow]:
        """Delete all files of a person."""

    @query(delete(Usage).where(_OF_OWNER))
    async def _delete_usage(self, owner_id: UUID) -> None:
        """Delete a person's usage."""

    async def purge(self, owner_id: UUID) -> list[str]:
        """Delete all files and the usage of a person; return the keys of objects that no file has any more."""
        await self.lock_usage(owner_id)
        await self._lock_files_of(owner_id)
        keys = await self._delete_renditions_of(owner_id)
        await self._delete_texts_of(owner_id)
        purged = await self._delete_files_of(owner_id)
        keys += [row.upload_key for row in purged if row.upload_key]
        copies = Counter(row.sha256 for row in purged if row.sha256)
        # Sorted, so that two purges lock the blobs in the same order.
        for sha256 in sorted(copies):
            keys += await self.remove_blob_copies(sha256, fewer=copies[sha256])
        await self._delete_usage(owner_id)
        return keys

    @query(
        select(*columns(File, OwnedFileRow))
        .where(_IS_UPLOADING, col(File.updated_at) < param("before"))
        .limit(_BATCH)
    )
    async def abandoned(self, before: datetime) -> list[OwnedFileRow]:
        """Return some uploads that have not changed since before a moment."""

    @query(
        select(col(File.id))
        .where(col(File.deleted_at) < param("before"))
        .order_by(col(File.deleted_at))
        .limit(_BATCH)
    )
    async def expired(self, before: datetime) -> list[UUID]:
        """Return some files that were moved to the trash before a moment."""

    @query(select(col(File.owner_id)).where(_BY_ID))
    async def owner_of(self, file_id: UUID) -> UUID | None:
        """Return the owner of a file."""
