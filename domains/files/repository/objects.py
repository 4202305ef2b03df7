"""The SQL about stored objects as a whole: which there must be, and whether objects may be deleted now."""

from sqlalchemy import func, literal_column, select
from sqlmodel import col

from domains.files.models import Blob, Rendition, RenditionStatus
from domains.files.public import ERASING
from domains.files.schemas import MayEraseRow, ObjectRow
from shared.repository import Repository
from shared.statements import Statement

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

# Let go at once: a backup that begins later doesn't name what an erasure that is under way deletes.
_MAY_ERASE = Statement(
    select(func.pg_try_advisory_xact_lock_shared(literal_column(str(ERASING))).label("may_erase")),
    MayEraseRow,
)


class ObjectRepository(Repository):
    """Asks about objects."""

    async def may_erase(self) -> bool:
        """Tell whether no backup is under way, which may still want objects that rows named when it began."""
        answer = await self.database.fetch_one(_MAY_ERASE)
        return answer is not None and answer.may_erase
