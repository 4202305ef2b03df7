"""The SQL about stored objects as a whole: which there must be, and whether objects may be deleted now."""

from collections.abc import Sequence

from sqlalchemy import Text, any_, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

from domains.files.models import Blob, File, Rendition, RenditionStatus
from domains.files.public import ERASE_LOCK_KEY
from domains.files.schemas import LostRenditionRow, MayEraseRow, ObjectRow, OwnedFileRow
from shared.db.repository import Repository
from shared.db.statement import Statement

NAMED_OBJECTS = (
    Statement(select(col(Blob.storage_key), col(Blob.size), col(Blob.sha256)), ObjectRow),
    Statement(
        select(col(Rendition.storage_key), col(Rendition.size), col(Rendition.sha256)).where(
            col(Rendition.status) == RenditionStatus.READY
        ),
        ObjectRow,
    ),
)
"""Every object that rows name. A backup copies these."""

OBJECTS_IN_USE = """
SELECT storage_key FROM files.blobs WHERE storage_key = ANY($1::text[])
UNION SELECT storage_key FROM files.renditions WHERE storage_key = ANY($1::text[])
UNION SELECT upload_key FROM files.files WHERE upload_key = ANY($1::text[])
"""
"""Which of these keys some row names, also one of work that has not ended."""

# Let go at once: a backup that begins later doesn't name what an erasure that is under way deletes.
_MAY_ERASE = Statement(
    select(func.pg_try_advisory_xact_lock_shared(literal_column(str(ERASE_LOCK_KEY))).label("may_erase")),
    MayEraseRow,
)


_KEYS = bindparam("keys", type_=ARRAY(Text))
_FILES_OF = Statement(
    select(col(File.id), col(File.owner_id))
    .join(Blob, col(Blob.sha256) == col(File.sha256))
    .where(col(Blob.storage_key) == any_(_KEYS)),
    OwnedFileRow,
)
_RENEW = Statement(
    update(Rendition)
    .where(
        col(Rendition.storage_key) == any_(_KEYS),
        col(Rendition.status) == RenditionStatus.READY,
        col(Rendition.file_id) == col(File.id),
    )
    .values(status=RenditionStatus.PENDING, size=None, sha256=None, updated_at=func.now())
    .returning(col(Rendition.file_id), col(File.owner_id), col(Rendition.name)),
    LostRenditionRow,
)


class ObjectRepository(Repository):
    """Asks about objects."""

    async def may_erase(self) -> bool:
        """Tell whether no backup is under way, which may still want objects that rows named when it began."""
        answer = await self.database.fetch_one(_MAY_ERASE)
        return answer is not None and answer.may_erase

    async def files_of(self, keys: Sequence[str]) -> list[OwnedFileRow]:
        """Return the files whose bytes are at one of these keys."""
        return await self.database.fetch_all(_FILES_OF, keys=list(keys))

    async def renew(self, keys: Sequence[str]) -> list[LostRenditionRow]:
        """Let the renditions at these keys be made again; return them."""
        return await self.database.fetch_all(_RENEW, keys=list(keys))
