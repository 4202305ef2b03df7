"""SQL of files and their renditions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, any_, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import col

from domains.files.models import Blob, File, FileStatus, Rendition, RenditionStatus
from domains.files.repository.texts import FOUND, TextRepository, query_json
from domains.files.schemas.bodies import FileFilter
from domains.files.schemas.rows import ContentRow, FileRow, RenditionRow
from shared.db.fulltext import Search
from shared.db.models import columns
from shared.db.pagination import Listing, Page, PageRequest
from shared.db.preconditions import check_precondition
from shared.db.query import param, query
from shared.text import composed

_FILE = select(*columns(File, FileRow))
_BY_ID = col(File.id) == param("file_id")
_OF_OWNER = col(File.owner_id) == param("owner_id")
_IS_STORED = col(File.status) != FileStatus.UPLOADING
_IS_TRASHED = col(File.deleted_at).is_not(None)
_LISTING, _TRASH = (
    Listing(
        _FILE.where(_OF_OWNER, _IS_STORED, condition),
        FileRow,
        key=col(File.id),
        sorts={"created_at": col(File.created_at), "name": col(File.name), "size": col(File.size)},
        filters={
            "content_type": col(File.content_type) == param("content_type"),
            "kind": func.split_part(File.content_type, "/", 1) == param("kind", Text),
            "tag": param("tag", Text) == any_(col(File.tags)),
            "q": FOUND,
        },
    )
    for condition in (~_IS_TRASHED, _IS_TRASHED)
)
_OWN_COLUMNS = [getattr(File, name) for name in ContentRow.model_fields if name != "storage_key"]
_CONTENT = select(*_OWN_COLUMNS, col(Blob.storage_key)).join(Blob, col(Blob.sha256) == col(File.sha256))
_IS_PROCESSING = col(File.status) == FileStatus.PROCESSING
_OF_FILE = col(Rendition.file_id) == param("file_id")


class FileRepository(TextRepository):
    """Reads and writes files, renditions and texts."""

    @query(_FILE.where(_BY_ID, _OF_OWNER))
    async def find(self, file_id: UUID, owner_id: UUID) -> FileRow | None:
        """Return a file of this owner."""

    async def page(
        self, owner_id: UUID, request: PageRequest, filters: FileFilter, search: Search | None
    ) -> Page[FileRow]:
        """Return a page of an owner's files. `search` is `filters.q`, parsed."""
        conditions = {**_conditions(filters), "q": None if search is None else query_json(search)}
        listing = _TRASH if filters.deleted else _LISTING
        return await self.fetch_page(listing, request, conditions, owner_id=owner_id)

    async def lock(self, file_id: UUID, owner_id: UUID) -> File | None:
        """Return a file of this owner that the open transaction is going to change. Raises PreconditionFailed."""
        found = await self.lock_row(File, file_id)
        return check_precondition(found) if found is not None and found.owner_id == owner_id else None

    @query(_CONTENT.where(_BY_ID, _OF_OWNER))
    async def content(self, file_id: UUID, owner_id: UUID) -> ContentRow | None:
        """Return what a download by the owner needs."""

    @query(_CONTENT.where(_BY_ID))
    async def content_of_any_owner(self, file_id: UUID) -> ContentRow | None:
        """Return what a job needs to read a file."""

    async def set_status(
        self, file_id: UUID, status: FileStatus, facts: dict[str, Any] | None = None
    ) -> None:
        """Set the status of a stored file and add facts."""
        await self._set_status(file_id, status, facts or {})

    @query(
        update(File)
        .where(_BY_ID, _IS_STORED)
        .values(
            status=param("status"),
            facts=col(File.facts).op("||")(param("facts", JSONB)),
            revision=File.revision + 1,
            updated_at=func.now(),
        )
    )
    async def _set_status(self, file_id: UUID, status: FileStatus, facts: dict[str, Any]) -> None:
        """Set the status and add facts."""

    @query(
        select(col(File.id))
        .where(_IS_PROCESSING, col(File.updated_at) < param("before"), col(File.id) > param("after"))
        .order_by(col(File.id))
        .limit(100)
    )
    async def stuck(self, before: datetime, *, after: UUID) -> list[UUID]:
        """Return a hundred files with greater ids that have been processing unchanged since before a moment."""

    @query(select(col(File.id)).where(_IS_PROCESSING, _BY_ID).with_for_update())
    async def lock_processing(self, file_id: UUID) -> bool:
        """Lock a file whose status is `processing`; return whether there is one."""

    @query(
        select(*columns(Rendition, RenditionRow))
        .where(col(Rendition.file_id) == any_(param("file_ids", ARRAY(Uuid))))
        .order_by(col(Rendition.file_id), col(Rendition.name))
    )
    async def _renditions(self, file_ids: list[UUID]) -> list[RenditionRow]:
        """Return the renditions of all these files."""

    async def renditions(self, file_ids: Sequence[UUID]) -> dict[UUID, list[RenditionRow]]:
        """Return the renditions of each of these files."""
        found: dict[UUID, list[RenditionRow]] = {file_id: [] for file_id in file_ids}
        for row in await self._renditions(list(file_ids)):
            found[row.file_id].append(row)
        return found

    @query(
        update(Rendition)
        .where(_OF_FILE, col(Rendition.status) == RenditionStatus.FAILED)
        .values(status=RenditionStatus.PENDING, problem=None, updated_at=func.now())
    )
    async def reset_failed_renditions(self, file_id: UUID) -> None:
        """Make failed renditions pending again."""

    @query(
        update(Rendition)
        .where(_OF_FILE, col(Rendition.name) == param("name"))
        .values(
            status=RenditionStatus.READY,
            size=param("size"),
            sha256=param("sha256"),
            facts=param("facts"),
            problem=None,
            updated_at=func.now(),
        )
    )
    async def mark_rendition_ready(
        self, file_id: UUID, name: str, size: int, sha256: str, facts: dict[str, Any]
    ) -> bool:
        """Mark a rendition of `size` bytes ready; return whether its file still exists."""

    @query(
        update(Rendition)
        .where(_OF_FILE, col(Rendition.status) != RenditionStatus.READY)
        .values(status=RenditionStatus.FAILED, problem=param("problem"), updated_at=func.now())
    )
    async def mark_renditions_failed(self, file_id: UUID, problem: dict[str, Any]) -> None:
        """Mark all renditions failed that are not ready."""


def _conditions(filters: FileFilter) -> dict[str, str | None]:
    """Return the conditions of `type`, which is a content type, `image/*` or `image`, and of `tag`."""
    kind, _, subtype = (filters.type or "").partition("/")
    is_kind = subtype in {"", "*"}
    return {
        "content_type": None if is_kind else filters.type,
        "kind": kind if kind and is_kind else None,
        "tag": filters.tag and composed(filters.tag),
    }
