"""SQL of stored objects: which must exist, and whether objects may be deleted now."""

from typing import Any

from sqlalchemy import Boolean, Text, any_, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

from domains.files.models import Blob, File, Rendition, RenditionStatus
from domains.files.public import ERASE_LOCK_KEY
from domains.files.schemas.rows import LostRenditionRow, ObjectRow, OwnedFileRow
from shared.db.models import columns
from shared.db.query import param, query
from shared.db.repository import Repository
from shared.db.statement import Statement

_IS_READY = col(Rendition.status) == RenditionStatus.READY
NAMED_OBJECTS = (
    Statement(select(*columns(Blob, ObjectRow)), ObjectRow),
    Statement(select(*columns(Rendition, ObjectRow)).where(_IS_READY), ObjectRow),
)
"""Every object that rows name. A backup copies these."""

OBJECTS_IN_USE = """
SELECT storage_key FROM files.blobs WHERE storage_key = ANY($1::text[])
UNION SELECT storage_key FROM files.renditions WHERE storage_key = ANY($1::text[])
UNION SELECT upload_key FROM files.files WHERE upload_key = ANY($1::text[])
"""
"""Which of these keys a row names, including those of unfinished work."""
_KEYS = any_(param("keys", ARRAY(Text)))
_LOCK_KEY: Any = literal_column(str(ERASE_LOCK_KEY))


class ObjectRepository(Repository):
    """Reads which objects rows name."""

    # The lock ends at once: a backup that begins later doesn't name objects whose erasure has begun.
    @query(select(func.pg_try_advisory_xact_lock_shared(_LOCK_KEY, type_=Boolean).label("may_erase")))
    async def may_erase(self) -> bool:
        """Return whether no backup is running, which may need objects that rows named when it began."""

    @query(
        select(*columns(File, OwnedFileRow))
        .join(Blob, col(Blob.sha256) == col(File.sha256))
        .where(col(Blob.storage_key) == _KEYS)
    )
    async def files_of(self, keys: list[str]) -> list[OwnedFileRow]:
        """Return the files whose bytes are at one of these keys."""

    @query(
        update(Rendition)
        .where(col(Rendition.storage_key) == _KEYS, _IS_READY, col(Rendition.file_id) == col(File.id))
        .values(status=RenditionStatus.PENDING, size=None, sha256=None, updated_at=func.now())
        .returning(col(Rendition.file_id), col(File.owner_id), col(Rendition.name))
    )
    async def reset_renditions(self, keys: list[str]) -> list[LostRenditionRow]:
        """Make the ready renditions at these keys pending again; return them."""
