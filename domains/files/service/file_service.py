"""What a person can do with the files they have."""

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

from domains.files.errors import (
    FileInTrash,
    FileNotComplete,
    FileNotFound,
    RenditionFailed,
    RenditionNotFound,
    SearchTooLong,
)
from domains.files.models import FileStatus, RenditionStatus
from domains.files.repository.files import FileRepository
from domains.files.repository.quota import QuotaRepository
from domains.files.schemas import (
    ContentRow,
    FileBody,
    FileChanges,
    FileJob,
    FileRow,
    RenditionBody,
    RenditionRow,
    UsageBody,
)
from domains.files.service.details import check_details
from domains.files.service.ports import Store
from domains.files.service.quota_limits import QuotaLimits
from domains.files.settings import FilesSettings
from domains.jobs.public import Jobs, JobSummary
from shared.db.database import TransactionFactory
from shared.db.fulltext import search_of
from shared.db.pagination import Page, PageRequest
from shared.schemas import validator_of
from shared.streams import Chunk

_file_body = validator_of(FileBody)


class FileService:
    """Lists, reads, changes, trashes and restores files; every question is asked in an owner's name."""

    def __init__(
        self,
        *,
        settings: FilesSettings,
        transaction: TransactionFactory,
        files: FileRepository,
        quota: QuotaRepository,
        store: Store,
        jobs: Jobs,
        quota_limits: QuotaLimits,
    ) -> None:
        self.settings = settings
        self.transaction = transaction
        self.files = files
        self.quota = quota
        self.store = store
        self.jobs = jobs
        self.quota_limits = quota_limits

    async def listed(
        self,
        owner_id: UUID,
        request: PageRequest,
        filters: dict[str, str | None],
        *,
        query: str | None = None,
        trashed: bool = False,
    ) -> Page[FileBody]:
        """Return a page of files; filters: content_type, kind, tag. `query`: see `search_of`.

        Raises SearchTooLong.
        """
        search = None if query is None else search_of(query)
        if search is not None and search.terms > self.settings.files_search_terms:
            raise SearchTooLong(limit=self.settings.files_search_terms)
        page = await self.files.listed(owner_id, request, filters, search=search, trashed=trashed)
        return Page(data=await self._described(page.data), next_cursor=page.next_cursor, total=page.total)

    async def get(self, file_id: UUID, owner_id: UUID, *, ordered: Sequence[UUID] = ()) -> FileBody:
        """Return a file, in the trash or not, with the jobs under way or, whatever their state, those `ordered`.

        Raises FileNotFound.
        """
        file = await self.files.find(file_id, owner_id)
        if file is None:
            raise FileNotFound
        if ordered:
            renditions, jobs = await self.files.renditions([file_id]), await self.jobs.summaries([*ordered])
            return _described(file, renditions[file_id], jobs)
        (described,) = await self._described([file])
        return described

    async def exists(self, file_id: UUID, owner_id: UUID) -> bool:
        """Tell whether this owner has such a file, whole and not in the trash (`domains.files.public.Files`)."""
        content = await self.files.content(file_id, owner_id)
        return content is not None and content.deleted_at is None

    async def change(self, file_id: UUID, owner_id: UUID, changes: FileChanges) -> FileBody:
        """Change name, tags or metadata. Raises FileNotFound, FileInTrash, DetailsRefused."""
        check_details(self.settings, tags=changes.tags, metadata=changes.metadata)
        async with self.transaction():
            file = await self.files.lock(file_id, owner_id)
            if file is None:
                raise FileNotFound
            if file.deleted_at is not None:
                raise FileInTrash
            await self.files.change(file, changes)
        return await self.get(file_id, owner_id)

    async def trash(self, file_id: UUID, owner_id: UUID) -> None:
        """Put a file into the trash. Again is fine. Raises FileNotFound."""
        async with self.transaction():
            file = await self.files.lock(file_id, owner_id)
            if file is None or file.status == FileStatus.UPLOADING:
                raise FileNotFound
            await self.files.trash(file_id)

    async def restore(self, file_id: UUID, owner_id: UUID) -> FileBody:
        """Take a file out of the trash. Again is fine. Raises FileNotFound."""
        async with self.transaction():
            if await self.files.lock(file_id, owner_id) is None:
                raise FileNotFound
            await self.files.restore(file_id)
        return await self.get(file_id, owner_id)

    async def usage(self, owner_id: UUID) -> UsageBody:
        """Return what a person keeps and may keep."""
        usage, quota = await self.quota.usage(owner_id), await self.quota_limits.of(owner_id)
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
            if await self.files.find(file_id, owner_id) is None:
                raise FileNotFound
            raise FileNotComplete
        if content.deleted_at is not None:
            raise FileInTrash
        return content

    async def renditions(self, file_id: UUID, owner_id: UUID) -> Sequence[RenditionBody]:
        """Return all renditions of a file. Raises FileNotFound."""
        return (await self.get(file_id, owner_id)).renditions

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

    def read(self, storage_key: str, start: int, end: int) -> AsyncGenerator[Chunk]:
        """Yield stored bytes from `start` up to, not including, `end`; no connection is held."""
        return self.store.read(storage_key, start, end)

    async def _described(self, files: Sequence[FileRow]) -> list[FileBody]:
        if not files:
            return []
        ids = [file.id for file in files]
        renditions, jobs = await self.files.renditions(ids), await self.jobs.of_resources(ids)
        return [_described(file, renditions[file.id], jobs.get(file.id, [])) for file in files]


def _described(file: FileRow, renditions: Sequence[RenditionRow], jobs: Sequence[JobSummary]) -> FileBody:
    return _file_body(
        {
            **file.__dict__,
            "status": file.status if file.deleted_at is None else "deleted",
            "metadata": file.client_metadata,
            "renditions": [RenditionBody.of(row) for row in renditions],
            "jobs": [FileJob(id=job.id, kind=job.kind, status=job.status, url=job.url) for job in jobs],
        }
    )
