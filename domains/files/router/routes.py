"""HTTP of files."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from domains.files.errors import (
    DetailsRefused,
    DigestMismatch,
    FileInTrash,
    FileNotComplete,
    FileNotFound,
    FileTooLarge,
    MalformedDigest,
    MalformedDisposition,
    MalformedMultipart,
    NoFileInBody,
    NothingChosen,
    NothingSent,
    PreconditionFailed,
    QuotaExceeded,
    RangeNotSatisfiable,
    RenditionFailed,
    RenditionNotFound,
    SearchTooLong,
    StoreFull,
    StoreUnavailable,
    TypeRefused,
    UploadInterrupted,
)
from domains.files.router.delivery import Representation, deliver
from domains.files.router.disposition import Disposition
from domains.files.router.openapi import (
    DOWNLOAD_HEADERS,
    DOWNLOAD_PARAMETERS,
    DOWNLOAD_RESPONSES,
    UPLOAD_OPENAPI,
)
from domains.files.router.upload_request import parse_upload
from domains.files.schemas.bodies import (
    FileBody,
    FileFilter,
    FileUpdate,
    RenditionBody,
    RenditionList,
    UsageBody,
)
from domains.files.service.file_service import FileService
from domains.files.service.uploads import UploadService
from shared.db.pagination import Page, PageRequest, link_next, page_request
from shared.db.preconditions import WeakCondition
from shared.http.authentication import Caller
from shared.http.concurrency import Activity, Busy, RequestSlot, TooManyInProgress
from shared.http.request_slots import request_slot
from shared.http.response_headers import sends
from shared.http.routing import Router, problems, streams_body
from shared.wiring import accessor

router = Router(prefix="/v1/files", tags=["files"])

Files = Annotated[FileService, Depends(accessor("files.service", FileService))]
Uploads = Annotated[UploadService, Depends(accessor("files.uploads", UploadService))]
UploadSlot = Annotated[RequestSlot, Depends(request_slot(Activity.UPLOAD))]
DownloadSlot = Annotated[RequestSlot, Depends(request_slot(Activity.DOWNLOAD, at_once=False))]
DispositionParameter = Annotated[
    Disposition,
    Query(
        description="`inline` applies to renditions that are pictures; all else is an attachment.",
        examples=["inline"],
    ),
]
Filters = Annotated[FileFilter, Query()]
Paging = Annotated[PageRequest, page_request("created_at", "name", "size")]
RenditionName = Annotated[str, Path(description="The name of the rendition.", examples=["thumb"])]
_UPLOAD_PROBLEMS = (
    NothingSent,
    NothingChosen,
    NoFileInBody,
    MalformedMultipart,
    MalformedDisposition,
    MalformedDigest,
    DigestMismatch,
    UploadInterrupted,
    FileTooLarge,
    QuotaExceeded,
    TypeRefused,
    DetailsRefused,
    StoreUnavailable,
    StoreFull,
    TooManyInProgress,
    Busy,
)
_DOWNLOAD_PROBLEMS = (
    FileNotFound,
    FileInTrash,
    FileNotComplete,
    PreconditionFailed,
    WeakCondition,
    RangeNotSatisfiable,
    StoreUnavailable,
    TooManyInProgress,
    Busy,
)


@router.post(
    "",
    summary="Upload a file",
    status_code=201,
    openapi_extra=UPLOAD_OPENAPI,
    responses={201: {"headers": sends("Location")}, **problems(*_UPLOAD_PROBLEMS)},
)
@streams_body
async def upload_file(
    request: Request,
    response: Response,
    caller: Caller,
    uploads: Uploads,
    slot: UploadSlot,  # noqa: ARG001  # held until the upload has ended
) -> FileBody:
    """Store a file, sent as the part `file` of a form or as the raw body.

    The type is detected from the bytes. Renditions are made in the background: follow the `jobs` of the response.
    """
    incoming = await parse_upload(request, caller, uploads.settings)
    file = await uploads.receive(incoming)
    response.headers["Location"] = f"/v1/files/{file.id}"
    return file


@router.get("", summary="List your files", responses=problems(SearchTooLong))
async def list_files(
    request: Request, response: Response, caller: Caller, files: Files, paging: Paging, filters: Filters
) -> Page[FileBody]:
    """Return a page of your files, the newest first."""
    return link_next(request, response, await files.page(caller.user_id, paging, filters))


@router.get("/usage", summary="Read your usage")
async def read_usage(caller: Caller, files: Files) -> UsageBody:
    """Return how much you store and may store."""
    return await files.usage(caller.user_id)


@router.get(
    "/{file_id}",
    summary="Read a file's details",
    responses=problems(FileNotFound),
)
async def read_file(file_id: UUID, caller: Caller, files: Files) -> FileBody:
    """Return a file with its renditions and unfinished jobs."""
    return await files.read(file_id, caller.user_id)


@router.patch(
    "/{file_id}",
    summary="Change a file's details",
    responses=problems(FileNotFound, FileInTrash, DetailsRefused),
)
async def change_file(file_id: UUID, caller: Caller, files: Files, change: FileUpdate) -> FileBody:
    """Change the fields that you send: name, tags or metadata."""
    return await files.change(file_id, caller.user_id, change)


@router.delete(
    "/{file_id}",
    summary="Move a file to the trash",
    status_code=204,
    responses=problems(FileNotFound),
)
async def delete_file(file_id: UUID, caller: Caller, files: Files) -> None:
    """Move a file to the trash. It can be restored until it is deleted there."""
    await files.trash(file_id, caller.user_id)


@router.post(
    "/{file_id}/restore",
    summary="Restore a file",
    responses=problems(FileNotFound),
)
async def restore_file(file_id: UUID, caller: Caller, files: Files) -> FileBody:
    """Move a file out of the trash."""
    return await files.restore(file_id, caller.user_id)


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=Response,
    openapi_extra=DOWNLOAD_PARAMETERS,
    responses={**DOWNLOAD_RESPONSES, **problems(*_DOWNLOAD_PROBLEMS)},
)
async def download_file(
    request: Request,
    file_id: UUID,
    caller: Caller,
    files: Files,
    slot: DownloadSlot,
    disposition: DispositionParameter = "attachment",
) -> Response:
    """Download a file's bytes: all, or the ranges that `Range` asks for."""
    content = await files.content(file_id, caller.user_id)
    representation = Representation(
        content.storage_key,
        content.size,
        content.sha256,
        content.media_type,
        content.name,
        content.created_at,
    )
    return await deliver(request, files, representation, slot=slot, disposition=disposition)


@router.head(
    "/{file_id}/content",
    summary="Read the headers of a download",
    response_class=Response,
    openapi_extra=DOWNLOAD_PARAMETERS,
    responses={
        200: {"description": "The headers of a download.", "headers": DOWNLOAD_HEADERS},
        304: DOWNLOAD_RESPONSES[304],
        **problems(*_DOWNLOAD_PROBLEMS),
    },
)
async def head_file_content(
    request: Request,
    file_id: UUID,
    caller: Caller,
    files: Files,
    slot: DownloadSlot,
    disposition: DispositionParameter = "attachment",
) -> Response:
    """Return the headers of a download."""
    return await download_file(request, file_id, caller, files, slot, disposition)


@router.get(
    "/{file_id}/renditions",
    summary="List the renditions of a file",
    responses=problems(FileNotFound),
)
async def list_renditions(file_id: UUID, caller: Caller, files: Files) -> RenditionList:
    """Return all renditions of a file: ready, pending and failed."""
    return RenditionList(data=list(await files.renditions(file_id, caller.user_id)))


@router.get(
    "/{file_id}/renditions/{name}",
    summary="Download a rendition",
    response_class=Response,
    openapi_extra=DOWNLOAD_PARAMETERS,
    responses={
        **DOWNLOAD_RESPONSES,
        202: {
            "description": "It is not ready yet; ask again after `Retry-After` seconds.",
            "headers": sends("Retry-After"),
            "model": RenditionBody,
        },
        **problems(*_DOWNLOAD_PROBLEMS, RenditionNotFound, RenditionFailed),
    },
)
async def download_rendition(
    request: Request,
    file_id: UUID,
    name: RenditionName,
    caller: Caller,
    files: Files,
    slot: DownloadSlot,
    disposition: DispositionParameter = "attachment",
) -> Response:
    """Download a rendition: `thumb`, `small` and `large` of images, `preview` and `text` of PDFs."""
    row = await files.rendition(file_id, caller.user_id, name)
    if row.size is None or row.sha256 is None:
        body = RenditionBody.of(row).model_dump(mode="json")
        return JSONResponse(body, status_code=202, headers={"Retry-After": "1", "Cache-Control": "no-store"})
    ending = "webp" if row.content_type == "image/webp" else "txt"
    representation = Representation(
        row.storage_key,
        row.size,
        row.sha256,
        row.content_type,
        f"{row.name}.{ending}",
        row.updated_at,
        encoded_here=True,
    )
    return await deliver(request, files, representation, slot=slot, disposition=disposition)
