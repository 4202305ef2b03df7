"""The SQL about files as people see them, their renditions and their text."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, any_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import col

from domains.files.models import Blob, File, FileStatus, Rendition, RenditionStatus
from domains.files.repository.texts import FOUND, FileTexts, query_json
from domains.files.schemas import ContentRow, FileChanges, FileRow, IdRow, RenditionRow
from shared.db.fulltext import Search
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition
from shared.db.statement import Nothing, Statement
from shared.db.transaction import current_session

_OF_OWNER = col(File.owner_id) == bindparam("owner")
_BY_ID = col(File.id) == bindparam("file")
_FILTERS = {
    "content_type": col(File.content_type) == bindparam("content_type"),
    "kind": func.split_part(File.content_type, "/", 1) == bindparam("kind", type_=Text),
    "tag": bindparam("tag", type_=Text) == any_(col(File.tags)),
    "q": FOUND,
}
_SORTS = {"created_at": col(File.created_at), "name": col(File.name), "size": col(File.size)}
_FILES = select(*columns(File, FileRow))
_STORED = _FILES.where(_OF_OWNER, col(File.status) != FileStatus.UPLOADING)
_LIST = Listing(
    _STORED.where(col(File.deleted_at).is_(None)), FileRow, key=col(File.id), sorts=_SORTS, filters=_FILTERS
)
_TRASH = Listing(
    _STORED.where(col(File.deleted_at).is_not(None)),
    FileRow,
    key=col(File.id),
    sorts=_SORTS,
    filters=_FILTERS,
)
_FIND = Statement(_FILES.where(_BY_ID, _OF_OWNER), FileRow)
_LOCK = Statement(_FILES.where(_BY_ID, _OF_OWNER).with_for_update(), FileRow)

_OWN_COLUMNS = [getattr(File, name) for name in ContentRow.model_fields if name != "storage_key"]
_CONTENTS = select(*_OWN_COLUMNS, col(Blob.storage_key)).join(Blob, col(Blob.sha256) == col(File.sha256))
_CONTENT = Statement(_CONTENTS.where(_BY_ID, _OF_OWNER), ContentRow)
_ANY_CONTENT = Statement(_CONTENTS.where(_BY_ID), ContentRow)

_CHANGE = Statement(
    update(File)
    .where(_BY_ID)
    .values(
        name=bindparam("new_name"),
        tags=bindparam("new_tags"),
        client_metadata=bindparam("new_metadata"),
        revision=File.revision + 1,
        updated_at=func.now(),
    ),
    Nothing,
)
_TOUCHED = {"revision": File.revision + 1, "updated_at": func.now()}
_TRASH_FILE = Statement(
    update(File).where(_BY_ID, col(File.deleted_at).is_(None)).values(deleted_at=func.now(), **_TOUCHED),
    Nothing,
)
_RESTORE_FILE = Statement(update(File).where(_BY_ID).values(deleted_at=None, **_TOUCHED), Nothing)
_SET_STATUS = Statement(
    update(File)
    .where(_BY_ID, col(File.status) != FileStatus.UPLOADING)
    .values(
        status=bindparam("new_status"),
        facts=col(File.facts).op("||")(bindparam("new_facts", type_=JSONB)),
        **_TOUCHED,
    ),
    Nothing,
)

_RENDITIONS = select(*columns(Rendition, RenditionRow))
_OF_FILE = col(Rendition.file_id) == bindparam("file")
_RENDITIONS_OF = Statement(
    _RENDITIONS.where(col(Rendition.file_id) == any_(bindparam("files", type_=ARRAY(Uuid)))).order_by(
        col(Rendition.file_id), col(Rendition.name)
    ),
    RenditionRow,
)
_MARK_RENDITION_READY = Statement(
    update(Rendition)
    .where(_OF_FILE, col(Rendition.name) == bindparam("which"))
    .values(
        status=RenditionStatus.READY,
        size=bindparam("new_size"),
        sha256=bindparam("new_sha256"),
        facts=bindparam("new_facts"),
        problem=None,
        updated_at=func.now(),
    ),
    Nothing,
)
_MARK_RENDITIONS_FAILED = Statement(
    update(Rendition)
    .where(_OF_FILE, col(Rendition.status) != RenditionStatus.READY)
    .values(status=RenditionStatus.FAILED, problem=bindparam("new_problem"), updated_at=func.now()),
    Nothing,
)
_RESET_FAILED_RENDITIONS = Statement(
    update(Rendition)
    .where(_OF_FILE, col(Rendition.status) == RenditionStatus.FAILED)
    .values(status=RenditionStatus.PENDING, problem=None, updated_at=func.now()),
    Nothing,
)
_PROCESSING = select(col(File.id)).where(col(File.status) == FileStatus.PROCESSING)
_LOCK_PROCESSING = Statement(_PROCESSING.where(_BY_ID).with_for_update(), IdRow)
_STUCK = Statement(
    _PROCESSING.where(col(File.updated_at) < bindparam("before"), col(File.id) > bindparam("after"))
    .order_by(col(File.id))
    .limit(100),
    IdRow,
)


class FileRepository(FileTexts):
    """Reads and changes files, renditions and texts."""

    async def find(self, file_id: UUID, owner_id: UUID) -> FileRow | None:
        """Return a file of this owner."""
        return await self.database.fetch_one(_FIND, file=file_id, owner=owner_id)

    async def lock(self, file_id: UUID, owner_id: UUID) -> FileRow | None:
        """Return a file of this owner and keep others from changing it until the transaction ends.

        Raises PreconditionFailed.
        """
        found = await self.database.fetch_one(_LOCK, file=file_id, owner=owner_id)
        return None if found is None else check_precondition(found)

    async def listed(
        self,
        owner_id: UUID,
        request: PageRequest,
        filters: dict[str, str | None],
        *,
        search: Search | None,
        trashed: bool,
    ) -> Page[FileRow]:
        """Return a page of an owner's files; filters: content_type, kind, tag."""
        all_filters = {**filters, "q": None if search is None else query_json(search)}
        return await self.fetch_page(_TRASH if trashed else _LIST, request, all_filters, owner=owner_id)

    async def content(self, file_id: UUID, owner_id: UUID | None = None) -> ContentRow | None:
        """Return what is needed to read a file's bytes; without an owner for work that is done for any."""
        if owner_id is None:
            return await self.database.fetch_one(_ANY_CONTENT, file=file_id)
        return await self.database.fetch_one(_CONTENT, file=file_id, owner=owner_id)

    async def change(self, file: FileRow, changes: FileChanges) -> None:
        """Write what is given of name, tags and metadata; null empties tags and metadata."""
        given = changes.model_fields_set
        await self.database.execute(
            _CHANGE,
            file=file.id,
            new_name=changes.name if "name" in given else file.name,
            new_tags=changes.tags or [] if "tags" in given else file.tags,
            new_metadata=changes.metadata or {} if "metadata" in given else file.client_metadata,
        )
        if "name" in given:
            await self.rename_text(file.id, changes.name)

    async def trash(self, file_id: UUID) -> None:
        """Put a file into the trash, once."""
        await self.database.execute(_TRASH_FILE, file=file_id)

    async def restore(self, file_id: UUID) -> None:
        """Take a file out of the trash."""
        await self.database.execute(_RESTORE_FILE, file=file_id)

    async def set_status(
        self, file_id: UUID, status: FileStatus, facts: dict[str, Any] | None = None
    ) -> bool:
        """Set a stored file's status and add facts; return whether it is still there."""
        return (
            await self.database.execute(_SET_STATUS, file=file_id, new_status=status, new_facts=facts or {})
            > 0
        )

    async def renditions(self, file_ids: Sequence[UUID]) -> dict[UUID, list[RenditionRow]]:
        """Return the renditions of each of these files."""
        found: dict[UUID, list[RenditionRow]] = {file_id: [] for file_id in file_ids}
        for row in await self.database.fetch_all(_RENDITIONS_OF, files=list(file_ids)):
            found[row.file_id].append(row)
        return found

    async def add_renditions(self, renditions: Sequence[Rendition]) -> None:
        """Insert renditions that are to be made."""
        session = await current_session()
        session.add_all(renditions)
        await session.flush()

    async def reset_failed_renditions(self, file_id: UUID) -> None:
        """Make failed renditions pending again."""
        await self.database.execute(_RESET_FAILED_RENDITIONS, file=file_id)

    async def mark_rendition_ready(
        self, file_id: UUID, name: str, size: int, sha256: str, facts: dict[str, Any]
    ) -> bool:
        """Mark a rendition ready; return whether its file is still there. `size` in bytes."""
        changed = await self.database.execute(
            _MARK_RENDITION_READY, file=file_id, which=name, new_size=size, new_sha256=sha256, new_facts=facts
        )
        return changed > 0

    async def mark_renditions_failed(self, file_id: UUID, problem: dict[str, Any]) -> None:
        """Mark every rendition that isn't ready as failed."""
        await self.database.execute(_MARK_RENDITIONS_FAILED, file=file_id, new_problem=problem)

    async def stuck(self, before: datetime, *, after: UUID) -> Sequence[UUID]:
        """Return a hundred files with greater ids whose processing nothing has moved since that moment."""
        return [row.id for row in await self.database.fetch_all(_STUCK, before=before, after=after)]

    async def lock_processing(self, file_id: UUID) -> bool:
        """Lock a file that waits for work; False: it is gone, or ready."""
        return await self.database.fetch_one(_LOCK_PROCESSING, file=file_id) is not None
