"""HTTP of other people's files, for administrators: details and sizes, never bytes."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from domains.files.schemas.bodies import FileBody, FileFilter, UsageBody
from domains.files.service.file_service import FileService
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.http.authentication import Admin
from shared.http.routing import Router
from shared.wiring import accessor

router = Router(prefix="/v1/files/owners", tags=["files"])
Files = Annotated[FileService, Depends(accessor("files.service", FileService))]


@router.get("/{user_id}", summary="List the files of a user")
async def list_user_files(
    request: Request,
    response: Response,
    user_id: UUID,
    _admin: Admin,
    file_service: Files,
    paging: Annotated[PageRequest, page_request("created_at", "name", "size")],
    *,
    deleted: Annotated[bool, Query(description="List the trash instead.")] = False,
) -> Page[FileBody]:
    """Return the details of a person's files, the newest first; none for an unknown id. For administrators."""
    filters = FileFilter(deleted=deleted)
    return link_next(request, response, await file_service.page(user_id, paging, filters))


@router.get("/{user_id}/usage", summary="Read the storage usage of a user")
async def read_user_usage(user_id: UUID, _admin: Admin, file_service: Files) -> UsageBody:
    """Return how much a person stores and may store. For administrators."""
    return await file_service.usage(user_id)
