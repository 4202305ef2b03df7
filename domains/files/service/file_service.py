"""What people can do with their files."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.files.errors import (
    FileInTrash,
    FileNotComplete,
    FileNotFound,
    RenditionFailed,
    RenditionNotFound,
    SearchTooLong,
)
from domains.files.gateway.store import ObjectFiles
from domains.files.models import File, FileStatus, RenditionStatus
from domains.files.repository.files import FileRepository
from domains.files.repository.storage import StorageRepository
from domains.files.schemas.bodies import (
    FileBody,
    FileFilter,
    FileJob,
    FileUpdate,
    RenditionBody,
    UsageBody,
)
from domains.files.schemas.rows import ContentRow, FileRow, RenditionRow
from domains.files.service.details import check_details
from domains.files.service.quota_limits import QuotaLimits
from domains.files.settings import FilesSettings
from domains.jobs.public import Jobs, JobSummary
from shared.clock import Clock
from shared.db.database import TransactionFactory
from shared.db.fulltext import search_of
from shared.db.pagination import Page, PageRequest
from shared.schemas import validator_of
from shared.streams import Chunk

_file_body = validator_of(FileBody)


@dataclass(kw_only=True, eq=False)
class FileService:
    """Files of one owner. Implements `FileDirectory`."""

    settings: FilesSettings
    transaction: TransactionFactory
    files: FileRepository
    storage: StorageRepository
    store: ObjectFiles
    jobs: Jobs
    clock: Clock
    quota_limits: QuotaLimits

    async def page(self, owner_id: UUID, request: PageRequest, filters: FileFilter) -> Page[FileBody]:
        """Return a page of an owner's files. Raises SearchTooLong."""
        # Each term is a look-up in the index, so their number is limited.
        search = None if filters.q is None else search_of(filters.q)
        if search is not None and search.terms > self.settings.files_search_terms:
            raise SearchTooLong(limit=self.settings.files_search_terms)
        page = await self.files.page(owner_id, request, filters, search)
        ids = [file.id for file in page.data]
        renditions = await self.files.renditions(ids) if ids else {}
        jobs = await self.jobs.of_resources(ids) if ids else {}
        return page.map(lambda file: _body(file, renditions[file.id], jobs.get(file.id, [])))

    async def read(self, file_id: UUID, owner_id: UUID, *, job_ids: Sequence[UUID] = ()) -> FileBody:
        """Return a file, in the trash or not, with its unfinished jobs, or with `job_ids` whatever their state.

        Raises FileNotFound.
        """
        file = await self._find(file_id, owner_id)
        renditions = (await self.files.renditions([file_id]))[file_id]
        if job_ids:
            return _body(file, renditions, await self.jobs.summaries([*job_ids]))
        return _body(file, renditions, (await self.jobs.of_resources([file_id])).get(file_id, []))

    async def exists(self, file_id: UUID, owner_id: UUID) -> bool:
        """Return whether this owner has such a file, complete and not in the trash."""
        content = await self.files.content(file_id, owner_id)
        return content is not None and content.deleted_at is None

    async def change(self, file_id: UUID, owner_id: UUID, change: FileUpdate) -> FileBody:
        """Change the fields that were sent. Raises FileNotFound, FileInTrash, DetailsRefused."""
        check_details(self.settings, tags=change.tags, metadata=change.metadata)
        async with self.transaction():
            file = await self._lock(file_id, owner_id)
            if file.deleted_at is not None:
                raise FileInTrash
            file.change(change.values(), self.clock.now())
            await self.files.save(file)
            if "name" in change.model_fields_set:
                await self.files.rename_text(file_id, file.name)
        return await self.read(file_id, owner_id)

    async def trash(self, file_id: UUID, owner_id: UUID) -> None:
        """Move a file to the trash, if it is not there. Raises FileNotFound."""
        async with self.transaction():
            file = await self._lock(file_id, owner_id)
            if file.status == FileStatus.UPLOADING:
                raise FileNotFound
            file.trash(self.clock.now())
            await self.files.save(file)

    async def restore(self, file_id: UUID, owner_id: UUID) -> FileBody:
        """Move a file out of the trash, if it is there. Raises FileNotFound."""
        async with self.transaction():
            file = await self._lock(file_id, owner_id)
            file.restore(self.clock.now())
            await self.files.save(file)
        return await self.read(file_id, owner_id)

    async def usage(self, owner_id: UUID) -> UsageBody:
        """Return what a person stores and may store."""
        usage, quota = await self.storage.usage(owner_id), await self.quota_limits.of(owner_id)
        return UsageBody(
            bytes=usage.bytes,
            reserved_bytes=usage.reserved,
            quota_bytes=quota.max_bytes,
            count=usage.count,
            max_count=quota.max_files,
        )

    async def content(self, file_id: UUID, owner_id: UUID) -> ContentRow:
        """Return what a download needs. Raises FileNotFound, FileInTrash, FileNotComplete."""
        content = await self.files.content(file_id, owner_id)
        if content is None:
            await self._find(file_id, owner_id)
            raise FileNotComplete
        if content.deleted_at is not None:
            raise FileInTrash
        return content

    async def renditions(self, file_id: UUID, owner_id: UUID) -> Sequence[RenditionBody]:
        """Return all renditions of a file. Raises FileNotFound."""
        await self._find(file_id, owner_id)
        return [RenditionBody.of(row) for row in (await self.files.renditions([file_id]))[file_id]]

    async def rendition(self, file_id: UUID, owner_id: UUID, name: str) -> RenditionRow:
        """Return a rendition that is ready or pending. Raises RenditionNotFound, RenditionFailed and as `content`."""
        await self.content(file_id, owner_id)
        found = await self.files.renditions([file_id])
        row = next((row for row in found[file_id] if row.name == name), None)
        if row is None:
            raise RenditionNotFound
        if row.status == RenditionStatus.FAILED:
            raise RenditionFailed(problem=row.problem)
        return row

    def read_bytes(self, storage_key: str, start: int, end: int) -> AsyncGenerator[Chunk]:
        """Yield stored bytes from `start` up to, not including, `end`; no database connection is held."""
        return self.store.read(storage_key, start, end)

    async def _lock(self, file_id: UUID, owner_id: UUID) -> File:
        file = await self.files.lock(file_id, owner_id)
        if file is None:
            raise FileNotFound
        return file

    async def _find(self, file_id: UUID, owner_id: UUID) -> FileRow:
        file = await self.files.find(file_id, owner_id)
        if file is None:
            raise FileNotFound
        return file


def _body(file: FileRow, renditions: Sequence[RenditionRow], jobs: Sequence[JobSummary]) -> FileBody:
    return _file_body(
        {
            **file.__dict__,
            "status": file.status if file.deleted_at is None else "deleted",
            "metadata": file.client_metadata,
            "renditions": [RenditionBody.of(row) for row in renditions],
            "jobs": [FileJob(id=job.id, kind=job.kind, status=job.status, url=job.url) for job in jobs],
        }
    )
